"""Small charts as inline SVG: read in greyscale and on paper, and told in words beside the drawing.

They hold no script, no colour that means something, and load nothing.
"""

from collections.abc import Callable, Sequence
from typing import Final

from app.portal.layout import Html, html, joined

_WIDTH: Final = 560
_HEIGHT: Final = 180
_FOOT: Final = 22  # under the drawing, for what each figure is of
_HEAD: Final = 16  # above it, for the figures themselves
_INK: Final = "#1a1a1c"
_PALE: Final = "#d9d9d9"


def columns(
    said: str, figures: Sequence[tuple[str, int]], shown: Callable[[int], str] = "{:,}".format
) -> Html:
    """A column a figure, with the figure above it and what it is of below. `said`: the chart in words.

    `shown`: a figure as it is written above its column, where there is little room.
    """
    most = max((value for _, value in figures), default=0) or 1
    step = _WIDTH / max(len(figures), 1)
    room = _HEIGHT - _FOOT - _HEAD
    drawn = joined(
        html(
            '<rect x="{x}" y="{y}" width="{width}" height="{height}" fill="{ink}"/>{value}{name}',
            x=_tenth(at * step + step * 0.2), y=_tenth(_HEAD + room * (1 - value / most)),
            width=_tenth(step * 0.6), height=_tenth(room * value / most), ink=_INK,
            value=_word(at * step + step / 2, _HEAD + room * (1 - value / most) - 4, shown(value)),
            name=_word(at * step + step / 2, _HEIGHT - 6, name),
        )
        for at, (name, value) in enumerate(figures)
    )  # fmt: skip
    return _chart(said, html("{drawn}{base}", drawn=drawn, base=_base()))


def course(said: str, figures: Sequence[tuple[str, float]], most: float) -> Html:
    """How a figure went, oldest first, between 0 and `most`: points on a line, each with its figure."""
    step = _WIDTH / max(len(figures), 1)
    room = _HEIGHT - _FOOT - _HEAD
    places = [
        (at * step + step / 2, _HEAD + room * (1 - min(value / most, 1.0)))
        for at, (_, value) in enumerate(figures)
    ]
    points = joined(
        html(
            '<circle cx="{x}" cy="{y}" r="4" fill="#fff" stroke="{ink}" stroke-width="2"/>{value}{name}',
            x=_tenth(x), y=_tenth(y), ink=_INK,
            value=_word(x, y - 8, f"{value:g}"), name=_word(x, _HEIGHT - 6, name),
        )
        for (x, y), (name, value) in zip(places, figures, strict=True)
    )  # fmt: skip
    line = html(
        '<polyline points="{points}" fill="none" stroke="{ink}" stroke-width="2"/>',
        points=" ".join(f"{_tenth(x)},{_tenth(y)}" for x, y in places), ink=_INK,
    )  # fmt: skip
    return _chart(
        said,
        html(
            "{top}{base}{line}{points}",
            top=_line(_HEAD, _PALE),
            base=_base(),
            line=line,
            points=points,
        ),
    )


def share(said: str, part: float, whole: float) -> Html:
    """How much of a whole a part is: a bar with an edge, so that an empty one is seen too."""
    filled = max(0.0, min(part / whole, 1.0)) * _WIDTH if whole else 0.0
    return html(
        '<svg viewBox="0 0 {width} 14" role="img" aria-label="{said}"><title>{said}</title>'
        '<rect x="1" y="1" width="{inner}" height="12" fill="#fff" stroke="{ink}"/>'
        '<rect x="1" y="1" width="{filled}" height="12" fill="{ink}"/></svg>',
        width=_WIDTH, inner=_WIDTH - 2, filled=_tenth(max(filled - 2, 0.0)), ink=_INK, said=said,
    )  # fmt: skip


def _chart(said: str, drawn: Html) -> Html:
    return html(
        '<svg class="chart" viewBox="0 0 {width} {height}" role="img" aria-label="{said}">'
        "<title>{said}</title>{drawn}</svg>",
        width=_WIDTH, height=_HEIGHT, said=said, drawn=drawn,
    )  # fmt: skip


def _base() -> Html:
    return _line(_HEIGHT - _FOOT, _INK)


def _line(y: int, ink: str) -> Html:
    return html(
        '<line x1="0" y1="{y}" x2="{width}" y2="{y}" stroke="{ink}"/>', y=y, width=_WIDTH, ink=ink
    )


def _word(x: float, y: float, text: str) -> Html:
    return html(
        '<text x="{x}" y="{y}" font-size="12" text-anchor="middle" fill="{ink}">{text}</text>',
        x=_tenth(x), y=_tenth(y), ink=_INK, text=text,
    )  # fmt: skip


def _tenth(number: float) -> str:
    return f"{number:.1f}"
