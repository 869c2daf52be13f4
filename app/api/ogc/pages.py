"""Documents of the OGC door as pages for people. Loads nothing from outside and runs no script."""

from collections.abc import Iterator, Mapping, Sequence
from html import escape
from typing import Any, Final
from urllib.parse import urlsplit

from app.api.ogc.conformance import FEATURES

CONFORMANCE: Final = (FEATURES + "html",)
_STYLE: Final = """
body{font:16px/1.6 system-ui,sans-serif;max-width:70rem;margin:1rem auto;padding:0 1rem;color:#111}
a{color:#0645ad}table{border-collapse:collapse}th,td{border:1px solid #999;padding:.2rem .5rem;
text-align:left;vertical-align:top}caption{text-align:left;font-weight:bold}dt{font-weight:bold}
div{overflow-x:auto}
"""
_WORDS: Final[Mapping[str, tuple[str, str]]] = {
    "id": ("識別子", "Id"),
    "description": ("説明", "Description"),
    "links": ("リンク", "Links"),
    "collections": ("地物コレクション", "Collections"),
    "features": ("地物", "Features"),
    "conformsTo": ("適合クラス", "Conformance classes"),
    "extent": ("範囲", "Extent"),
    "crs": ("座標参照系", "Coordinate reference systems"),
    "storageCrs": ("保存時の座標参照系", "Stored in"),
    "itemType": ("種類", "Kind"),
    "properties": ("項目", "Properties"),
    "geometry": ("ジオメトリ", "Geometry"),
    "numberMatched": ("該当件数", "Matched"),
    "numberReturned": ("表示件数", "Shown"),
    "dataset": ("データセット", "Dataset"),
    "version": ("版", "Version"),
    "next": ("次のページ", "Next page"),
    "items": ("地物を見る", "Features"),
    "self": ("この文書", "This document"),
    "alternate": ("別の形式", "Another form"),
    "data": ("地物コレクション一覧", "Collections"),
    "conformance": ("適合クラス", "Conformance"),
    "service-desc": ("API定義（OpenAPI）", "API definition (OpenAPI)"),
    "service-doc": ("API説明", "API documentation"),
    "collection": ("コレクション", "Collection"),
    "license": ("ライセンス", "Licence"),
    "queryables": ("条件に使える項目", "What may be asked for"),
    "schema": ("項目の定義", "Schema"),
    "describedby": ("項目の定義（GeoJSON）", "Schema of the GeoJSON"),
    "root": ("トップ", "Start"),
    "true": ("はい", "yes"),
    "false": ("いいえ", "no"),
}
_HIDDEN: Final = frozenset({"title", "links", "type", "meta", "$schema", "timeStamp", "queryables"})


def page(document: Mapping[str, Any], language: str) -> str:
    """A whole page that tells what the document does."""
    return "".join(_page(document, language))


def _word(name: str, language: str) -> str:
    ja, en = _WORDS.get(name.rsplit("/", 1)[-1], (name, name))
    return en if language == "en" else ja


def _page(document: Mapping[str, Any], language: str) -> Iterator[str]:
    title = escape(str(document.get("title") or _title(document, language)))
    yield f'<!doctype html><html lang="{language}"><meta charset="utf-8">'
    yield '<meta name="viewport" content="width=device-width,initial-scale=1">'
    yield f"<title>{title}</title><style>{_STYLE}</style><main><h1>{title}</h1>"
    for name, value in document.items():
        if name in _HIDDEN:
            continue
        if name == "collections":
            yield from _collections(value, language)
        elif name == "features":
            yield from _features(value, language)
        else:
            yield from _member(name, value, language)
    yield f"</main><nav><h2>{_word('links', language)}</h2><ul>"
    for link in sorted(map(_from_page, document.get("links", ())), key=_is_for_programs):
        yield f"<li>{_link(link, language)}</li>"
    yield "</ul></nav></html>"


def _title(document: Mapping[str, Any], language: str) -> str:
    if document.get("type") == "Feature":
        return str(document.get("id", ""))
    known = (name for name in ("conformsTo", "collections", "dataset") if name in document)
    name = next(known, "features")
    return str(document["dataset"]) if name == "dataset" else _word(name, language)


def _member(name: str, value: Any, language: str) -> Iterator[str]:
    if value is None:
        return
    heading = escape(_word(name, language))
    if isinstance(value, Mapping):
        yield f"<section><h2>{heading}</h2><dl>"
        for inner, told in value.items():
            yield f"<dt>{escape(str(inner))}</dt><dd>{_value(told, language)}</dd>"
        yield "</dl></section>"
        return
    yield f"<p><b>{heading}</b>: {_value(value, language)}</p>"


def _value(value: Any, language: str) -> str:
    if isinstance(value, bool):
        return _word("true" if value else "false", language)
    if isinstance(value, Mapping):
        told = (f"{escape(str(name))}: {_value(inner, language)}" for name, inner in value.items())
        return "; ".join(told)
    if isinstance(value, Sequence) and not isinstance(value, str):
        return ", ".join(_value(inner, language) for inner in value)
    return "" if value is None else escape(str(value))


def _collections(found: Sequence[Mapping[str, Any]], language: str) -> Iterator[str]:
    yield "<ul>"
    for each in found:
        here = escape(str(each["links"][1]["href"]))
        yield f'<li><a href="{here}">{escape(str(each["title"]))}</a> ({escape(each["id"])})</li>'
    yield "</ul>"


def _features(found: Sequence[Mapping[str, Any]], language: str) -> Iterator[str]:
    if not found:
        return
    names = list(found[0]["properties"] or {})
    yield f"<div tabindex=0><table><caption>{_word('features', language)}</caption><tr>"
    for name in ("id", *names, "geometry"):
        yield f'<th scope="col">{escape(_word(name, language) if name not in names else name)}</th>'
    yield "</tr>"
    for feature in found:
        yield f'<tr><th scope="row">{escape(str(feature.get("id", "")))}</th>'
        for name in names:
            yield f"<td>{_value(feature['properties'].get(name), language)}</td>"
        yield f"<td>{escape(_place(feature['geometry']))}</td></tr>"
    yield "</table></div>"


def _place(geometry: Mapping[str, Any] | None) -> str:
    """A point with its coordinates; of what is larger, its kind."""
    if geometry is None:
        return ""
    if geometry["type"] == "Point":
        return ", ".join(str(number) for number in geometry["coordinates"])
    return str(geometry["type"])


def _is_for_programs(link: Mapping[str, str]) -> bool:
    """Pages come first; all else in the order of the document."""
    return link.get("type") != "text/html"


def _from_page(link: Mapping[str, str]) -> Mapping[str, str]:
    """Of a page, the other form is JSON, and itself is none."""
    if link["rel"] == "self":
        return {**link, "type": "text/html"}
    if link["rel"] != "alternate":
        return link
    here, _, asked = link["href"].rpartition("f=html")
    return {**link, "href": f"{here}f=json{asked}", "type": "application/json"}


def _link(link: Mapping[str, str], language: str) -> str:
    """Only addresses of the web are followed: a link may hold what a publisher wrote."""
    told = escape(link.get("title") or _word(link["rel"], language))
    if urlsplit(link["href"]).scheme not in ("http", "https"):
        return told
    return f'<a href="{escape(link["href"])}">{told}</a> ({escape(link.get("type", ""))})'
