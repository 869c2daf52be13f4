"""The badge of a service as SVG: text and boxes, nothing that runs or loads. Pure."""

from html import escape
from typing import Final

from app.conformance.listing import Listed
from app.kit.clock import TOKYO

_LABEL: Final = "Linkage"
_CERTIFIED: Final = "#1a6b3c"
_DECLARED: Final = "#6b6b6b"
_HEIGHT: Final = 20
_SIGN: Final = 6.6  # wide; one of Japanese is twice as wide


def svg(listed: Listed) -> bytes:
    """What is certified and until when, or that nothing is."""
    held = listed.certificate
    if held is None:
        told, colour = "未認証 not certified", _DECLARED
    else:
        until = held.ends_at.astimezone(TOKYO).date().isoformat()
        version = held.row.claims["standard"]
        told, colour = f"{version} {'+'.join(listed.classes)} – {until}", _CERTIFIED
    left, right = _width(_LABEL), _width(told)
    name = escape(f"{listed.name}: {_LABEL} {told}")
    text = f'<text y="14" text-anchor="middle" x="{left / 2:.0f}">{_LABEL}</text>'
    text += f'<text y="14" text-anchor="middle" x="{left + right / 2:.0f}">{escape(told)}</text>'
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{left + right:.0f}" height="{_HEIGHT}"'
        f' role="img" aria-label="{name}"><title>{name}</title>'
        f'<rect width="{left:.0f}" height="{_HEIGHT}" fill="#333"/>'
        f'<rect x="{left:.0f}" width="{right:.0f}" height="{_HEIGHT}" fill="{colour}"/>'
        f'<g fill="#fff" font-family="system-ui,sans-serif" font-size="11">{text}</g></svg>\n'
    ).encode()


def _width(text: str) -> float:
    return 12 + sum(_SIGN if ord(sign) < 0x2E80 else 2 * _SIGN for sign in text)
