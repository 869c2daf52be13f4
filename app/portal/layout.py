"""Pages for people: one layout that escapes whatever it is given. Holds no script, loads nothing."""

import base64
import hashlib
import string
from collections.abc import Iterable
from html import escape
from typing import Any, Final

from starlette.responses import HTMLResponse

_STYLE: Final = """
:root{color-scheme:light}*{box-sizing:border-box}
body{font:1rem/1.7 system-ui,sans-serif;color:#1a1a1c;background:#fff;max-width:36rem;margin:0 auto;padding:1.5rem 1rem;overflow-wrap:anywhere}
h1{font-size:1.5rem;line-height:1.4}h2{font-size:1.2rem}[lang=en]{color:#4d4d4d;font-size:.9rem}
button [lang=en]{color:inherit}
h1 [lang=en],label [lang=en]{display:block;font-weight:normal}
label{display:block;font-weight:bold;margin-top:1.2rem}
input{display:block;font:inherit;width:100%;min-height:2.8rem;padding:.4rem .6rem;border:1px solid #626264;border-radius:4px}
button{font:inherit;font-weight:bold;min-height:2.8rem;margin-top:1.2rem;padding:.4rem 1.4rem;color:#fff;background:#0017c1;border:1px solid #0017c1;border-radius:4px;cursor:pointer}
:focus-visible{outline:3px solid #000;outline-offset:2px;box-shadow:0 0 0 2px #ffd43d}
a{color:#0017c1}.told{border-left:6px solid #ce0000;padding:.2rem .8rem}
dt{font-weight:bold;margin-top:.8rem}dd{margin:0}pre{margin:.3rem 0;padding:.4rem .6rem;background:#f4f4f4;white-space:pre-wrap;font-size:.85rem}svg{max-width:15rem;width:100%;height:auto}svg.chart{max-width:36rem;margin:.6rem 0}
@page{size:A4;margin:18mm 16mm}
@media print{body{max-width:none;padding:0;font-size:10.5pt;color:#000}a{color:inherit}[lang=en]{color:#333}
h2,dt{break-after:avoid}svg,li,dd,pre{break-inside:avoid}svg.chart{max-width:150mm}button,input{display:none}}
"""
_STYLE_SHA256: Final = base64.b64encode(hashlib.sha256(_STYLE.encode()).digest()).decode()
_POLICY: Final = (
    f"default-src 'none'; style-src 'sha256-{_STYLE_SHA256}'; base-uri 'none';"
    " frame-ancestors 'none'"
)
_OWN_FORMS: Final = "; form-action 'self'"


class Html(str):
    """Text that is HTML already. Only `html`, `joined` and a trusted renderer make it."""

    __slots__ = ()


NOTHING: Final = Html()


class _Escaping(string.Formatter):
    def format_field(self, value: Any, format_spec: str) -> str:
        told = super().format_field(value, format_spec)
        return told if isinstance(value, Html) else escape(told)


_escaping: Final = _Escaping()


def html(template: str, /, **values: Any) -> Html:
    """The template with every value escaped, unless it is HTML already.

    The template is a literal of ours, never what somebody sent.
    """
    return Html(_escaping.vformat(template, (), values))


def joined(parts: Iterable[Html]) -> Html:
    """Pieces of HTML, one after another."""
    return Html("".join(parts))


def coded(text: str) -> Html:
    """Text in which `this` is code."""
    parts = enumerate(text.split("`"))
    return joined(
        html("<code>{part}</code>" if n % 2 else "{part}", part=part) for n, part in parts
    )


def both(ja: str, en: str) -> Html:
    """The same said in Japanese and, beside it, in English."""
    return html('{ja} <span lang="en">{en}</span>', ja=ja, en=en)


def page(
    ja: str, en: str, body: Html, *, status: int = 200, forms_lead_out: bool = False
) -> HTMLResponse:
    """A page with a title in two languages.

    `forms_lead_out`: what a form of this page sends ends, by redirects, at an app of another
    origin. Browsers hold `form-action` against such redirects too (CSP 3, 6.4.1), so it is left out.
    """
    told = html(
        '<!doctype html><html lang="ja"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width,initial-scale=1">'
        "<title>{ja} | {en}</title><style>{style}</style></head>"
        "<body><main><h1>{title}</h1>{body}</main></body></html>",
        ja=ja,
        en=en,
        style=Html(_STYLE),
        title=both(ja, en),
        body=body,
    )
    policy = _POLICY if forms_lead_out else _POLICY + _OWN_FORMS
    return HTMLResponse(
        told, status, {"Cache-Control": "no-store", "Content-Security-Policy": policy}
    )


def field(
    name: str,
    ja: str,
    en: str,
    *,
    kind: str = "text",
    value: str = "",
    autocomplete: str = "off",
    required: bool = True,
) -> Html:
    """One input with its label."""
    return html(
        '<label for="{name}">{label}</label><input id="{name}" name="{name}" type="{kind}"'
        ' value="{value}" autocomplete="{autocomplete}"{required}>',
        name=name,
        label=both(ja, en),
        kind=kind,
        value=value,
        autocomplete=autocomplete,
        required=Html(" required" if required else ""),
    )


def form(action: str, csrf: str, inside: Html, ja: str, en: str, **hidden: str) -> Html:
    """A form that posts to `action`, with the token that proves it came from this page."""
    kept = joined(
        html('<input type="hidden" name="{name}" value="{value}">', name=name, value=value)
        for name, value in {"csrf": csrf, **hidden}.items()
    )
    return html(
        '<form method="post" action="{action}">{kept}{inside}<button>{label}</button></form>',
        action=action,
        kept=kept,
        inside=inside,
        label=both(ja, en),
    )


def told_wrong(ja: str, en: str) -> Html:
    """What was wrong with what was sent; read out at once by a screen reader."""
    return html('<p class="told" role="alert">{said}</p>', said=both(ja, en))
