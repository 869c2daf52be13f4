"""The shelf for readers: a page a dataset and the catalogue's, that load nothing from outside.

Everything that somebody wrote is escaped; there is no script, only the description for machines
as a data block (HTML, 4.12.1), in which `<` never stands.
"""

from collections.abc import Iterator, Mapping
from datetime import datetime
from html import escape
from typing import Any, Final
from urllib.parse import quote

import orjson

from app.formats import licences
from app.formats.guidance import TYPE_WORDS
from app.formats.shelf import schema_org
from app.formats.shelf.absent import REASONS
from app.formats.shelf.dcat import CataloguePage, dataset_address
from app.formats.shelf.facts import OpenDataset
from app.formats.shelf.forms import FILE_KINDS, Form, forms_of, table_of

POLICY: Final = (
    "default-src 'none'; style-src 'unsafe-inline'; frame-ancestors 'none'; base-uri 'none';"
    " form-action 'none'"
)
_STYLE: Final = """
body{font:1rem/1.7 system-ui,sans-serif;max-width:56rem;margin:0 auto;padding:1rem;color:#1a1a1a;background:#fff}
a{color:#0645ad}code,pre{font:.9rem/1.5 ui-monospace,monospace}
pre{background:#f4f4f4;padding:.7rem;overflow:auto}table{border-collapse:collapse;width:100%}
th,td{border:1px solid #767676;padding:.3rem .5rem;text-align:left;vertical-align:top}
dt{font-weight:bold;margin-top:.6rem}dd{margin-left:0}dd,li,h1{overflow-wrap:anywhere}
.wide{overflow-x:auto}a:focus-visible,.wide:focus-visible{outline:3px solid #0645ad;outline-offset:2px}
"""
# What somebody who wants to open a file is told of it: what opens it, not what it is called.
_OPENED_BY: Final[Mapping[str, str]] = {
    "csv": "CSV（UTF-8）",
    "csv-excel": "CSV（Excelで文字化けしない形式）",
    "xlsx": "Excel（XLSX）",
    "geojson": "GeoJSON（地図）",
    "geopackage": "GeoPackage（QGISなどの地図ソフト）",
    "pmtiles": "PMTiles（ウェブ地図のタイル）",
    "parquet": "Parquet（データ分析）",
    "json": "JSON（プログラム）",
}
_FREQUENCIES: Final[Mapping[str, str]] = {
    "continuous": "随時（連続）",
    "hourly": "毎時",
    "daily": "毎日",
    "weekly": "毎週",
    "monthly": "毎月",
    "quarterly": "四半期ごと",
    "annual": "毎年",
    "irregular": "不定期",
    "once": "更新なし",
}


def dataset(told: OpenDataset, issuer: str) -> bytes:
    """One dataset: what it is, its licence, its downloads, the call to copy, its fields."""
    return _page(told.title_ja, _dataset(told, issuer), schema_org.dataset(told, issuer))


def catalogue(page: CataloguePage, issuer: str) -> bytes:
    """A page of the catalogue."""
    title = "オープンデータカタログ"
    return _page(title, _catalogue(page, issuer), schema_org.catalogue(page.datasets, issuer))


def refusal(title: str, detail: str, issuer: str) -> bytes:
    """Why there is nothing here, such as the reason of a withdrawal."""
    body = (
        f"<p>{escape(detail)}</p>",
        f'<p><a href="{escape(issuer)}/opendata/catalog">オープンデータカタログへ</a></p>',
    )
    return _page(title, body, None)


def _page(title: str, body: Any, data: Mapping[str, Any] | None) -> bytes:
    block = ""
    if data is not None:
        # `</script>` in a title must not end the block: JSON spells `<` otherwise, and `&`, `>`.
        told = orjson.dumps(data).decode().replace("<", "\\u003c")
        told = told.replace(">", "\\u003e").replace("&", "\\u0026")
        block = f'<script type="application/ld+json">{told}</script>'
    return (
        '<!doctype html>\n<html lang="ja"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width,initial-scale=1">'
        f"<title>{escape(title)}</title><style>{_STYLE}</style>{block}</head>\n"
        f"<body><main><h1>{escape(title)}</h1>\n" + "".join(body) + "</main></body></html>\n"
    ).encode()


def _dataset(told: OpenDataset, issuer: str) -> Iterator[str]:
    if told.title_en:
        yield f'<p lang="en">{escape(told.title_en)}</p>\n'
    yield f"<p>{_lines(told.description_ja or told.title_ja)}</p>\n"
    if told.description_en:
        yield f'<p lang="en">{_lines(told.description_en)}</p>\n'
    yield "<dl>\n"
    for name, value in _facts(told):
        yield f"<dt>{name}</dt><dd>{value}</dd>\n"
    yield "</dl>\n<h2>ダウンロード</h2>\n<ul>\n"
    for form in forms_of(told, issuer):
        yield _download(form)
    yield "</ul>\n"
    yield from _absent(told)
    yield "<h2>APIの呼び出し</h2>\n<p>トークンは不要です。</p>\n"
    yield f'<pre tabindex="0"><code>{escape(_call(told, issuer))}</code></pre>\n'
    yield from _fields(told)
    yield "<h2>機械可読の説明</h2>\n<ul>\n"
    about = dataset_address(told.id, issuer)
    for ending, name in _DESCRIPTIONS:
        yield f'<li><a href="{escape(about)}{ending}">{name}</a></li>\n'
    yield f'</ul>\n<p><a href="{escape(issuer)}/opendata/catalog">カタログへ戻る</a></p>\n'


_DESCRIPTIONS: Final = (
    (".jsonld", "DCAT（JSON-LD）"),
    (".ttl", "DCAT（Turtle）"),
    (".rdf", "DCAT（RDF/XML）"),
    ("/croissant.json", "Croissant"),
    ("/schema-org.jsonld", "schema.org"),
)


_CATALOGUES: Final = (
    ("catalog.jsonld", "DCAT（JSON-LD）"),
    ("catalog.ttl", "DCAT（Turtle）"),
    ("catalog.rdf", "DCAT（RDF/XML）"),
    ("data.json", "data.json（DCAT-US）"),
    ("feed.atom", "更新のお知らせ（Atom）"),
)


def _facts(told: OpenDataset) -> Iterator[tuple[str, str]]:
    yield "提供者", escape(told.publisher_ja)
    yield "問い合わせ先", _contact(told)
    yield "ライセンス", _licence(told.license)
    yield "更新頻度", escape(_FREQUENCIES.get(told.update_frequency, told.update_frequency))
    yield "版", f"第{told.version}版（{told.rows:,}件）"
    yield "最終更新", _time(told.modified_at)
    if told.keywords:
        yield "分類", escape("、".join(told.keywords))
    if told.score is not None:
        yield "品質の点数", f"{told.score} / 100"


def _contact(told: OpenDataset) -> str:
    name = escape(told.steward_name)
    if not told.steward_email:
        return name
    address = escape(told.steward_email)
    return f'{name}（<a href="mailto:{quote(told.steward_email, safe="@")}">{address}</a>）'


def _time(at: datetime) -> str:
    """For people, and for machines beside it."""
    told = f"{at.year}年{at.month}月{at.day}日 {at.hour}時{at.minute:02}分"
    return f'<time datetime="{at.isoformat(timespec="seconds")}">{told}</time>'


def _licence(name: str) -> str:
    known, address = licences.find(name), licences.address_of(name)
    title = escape(f"{known.title_ja}（{known.id}）" if known else name)
    return f'<a rel="license" href="{escape(address)}">{title}</a>' if address else title


def _download(form: Form) -> str:
    name = escape(_OPENED_BY.get(form.id, form.name))
    size = f" <small>{_size(form.size)}</small>" if form.size is not None else ""
    part = "" if form.is_whole else " <small>（ページに分かれています）</small>"
    return f'<li><a href="{escape(form.address)}">{name}</a>{size}{part}</li>\n'


def _size(size: int) -> str:
    for unit, of_unit in (("GB", 1_000_000_000), ("MB", 1_000_000), ("KB", 1_000)):
        if size >= of_unit:
            return f"{size / of_unit:,.1f} {unit}"
    return f"{size} バイト"


def _absent(told: OpenDataset) -> Iterator[str]:
    """The forms that are not there, put together by the reason."""
    reasons: dict[str, list[str]] = {}
    for kind, reason in told.absent:
        reasons.setdefault(reason, []).append(FILE_KINDS[kind][0])
    if not reasons:
        return
    yield "<h3>ファイルがない形式</h3>\n<ul>\n"
    for reason, names in reasons.items():
        yield f"<li>{escape('、'.join(names))}: {escape(REASONS[reason][0])}</li>\n"
    yield "</ul>\n"


def _call(told: OpenDataset, issuer: str) -> str:
    asked = f"curl '{issuer}/v1/datasets/{told.id}/records?limit=10'"
    return f"{asked}\ncurl -o {told.id}.csv '{table_of(told, issuer).address}'"


def _fields(told: OpenDataset) -> Iterator[str]:
    if not told.fields:
        return
    yield '<h2 id="fields">項目</h2>\n<div class="wide" tabindex="0" role="region"'
    yield ' aria-labelledby="fields"><table><thead><tr>'
    yield "".join(f'<th scope="col">{name}</th>' for name in ("項目", "項目名", "型", "説明"))
    yield "</tr></thead><tbody>\n"
    for field in told.fields:
        unit = f"（{field.unit}）" if field.unit else ""
        yield f'<tr><th scope="row">{escape(field.label)}{escape(unit)}</th>'
        yield f"<td><code>{escape(field.name)}</code></td><td>{TYPE_WORDS[field.type.value][0]}</td>"
        yield f"<td>{_lines(field.description or '')}</td></tr>\n"
    yield "</tbody></table></div>\n"


def _catalogue(page: CataloguePage, issuer: str) -> Iterator[str]:
    yield "<ul>\n"
    for each in page.datasets:
        about = escape(dataset_address(each.id, issuer))
        yield f'<li><a href="{about}">{escape(each.title_ja)}</a> '
        yield f"（{escape(each.publisher_ja)}、{_licence(each.license)}）</li>\n"
    yield "</ul>\n"
    if page.following is not None:
        yield f'<p><a rel="next" href="{escape(page.following)}">次のページ</a></p>\n'
    yield "<h2>機械可読のカタログ</h2>\n<ul>\n"
    for path, name in _CATALOGUES:
        yield f'<li><a href="{escape(issuer)}/opendata/{path}">{name}</a></li>\n'
    yield "</ul>\n"


def _lines(text: str) -> str:
    return escape(text).replace("\n", "<br>")
