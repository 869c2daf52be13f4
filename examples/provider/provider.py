"""A reference provider of the Linkage Interface: the classes core and query over one CSV file.

It is written from the published standard alone, to be read and copied. One process, all in memory; `uvicorn
provider:app` serves it. It needs starlette, pydantic, polars, cql2 and uvicorn, and nothing of the platform.
"""

import hashlib
import json
import re
import unicodedata
import uuid
from contextlib import suppress
from datetime import datetime, timedelta, timezone
from difflib import get_close_matches
from pathlib import Path
from typing import Annotated, Literal

import cql2
import polars as pl
from pydantic import AwareDatetime, BeforeValidator, Field, FiniteFloat, PositiveInt, TypeAdapter, ValidationError
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.responses import Response
from starlette.routing import Route

JST = timezone(timedelta(hours=9))
STARTED = datetime.now(JST).replace(microsecond=0)
FOLDER = Path(__file__).parent
DATASET = json.loads((FOLDER / "dataset.json").read_text("utf-8")) | {"modified_at": STARTED.isoformat()}
TYPES = {field["name"]: field["type"] for field in DATASET["fields"]}
LABELS = {field["name"]: field["label"] for field in DATASET["fields"]}
NUMBERS = {"integer": pl.Int64, "decimal": pl.Float64, "latitude": pl.Float64, "longitude": pl.Float64}
COLUMNS = {name: NUMBERS.get(kind, pl.String) for name, kind in TYPES.items()}
TABLE = pl.read_csv(FOLDER / "records.csv", schema=COLUMNS)
RECORDS = TABLE.to_dicts()
FORMS = dict(json="application/json", geojson="application/geo+json", csv="text/csv", ndjson="application/x-ndjson")

# What each operation takes: a parameter that stands in none of these is refused (QUERY-01).
VERSION = {"version", "as_of", "purpose"}
RECORD = VERSION | {"fields", "labels"}
CONDITIONS = VERSION | {"limit", "cursor", "filter", "filter-lang", "q", "bbox", "lat", "lon", "radius", *TYPES}
CATALOGUE = {"q", "theme", "publisher", "class", "profile", "municipality", "bbox", "modified_since", "limit", "cursor"}
# How a metric of a field is reckoned: numbers as decimals, so that sums are exact (QUERY-12).
NUMERIC = [name for name, column in COLUMNS.items() if column.is_numeric()]
TEXTS = [pl.col(name) for name, kind in TYPES.items() if kind in ("text", "kana")]
EXACT = {pl.Int64: pl.Int128, pl.Float64: pl.Decimal(38, 10)}
VALUES = {name: pl.col(name).cast(EXACT.get(column, column)) for name, column in COLUMNS.items()}
METRICS = {f"{what}({name})": getattr(VALUES[name], what)() for name in TYPES for what in ("count", "min", "max")}
METRICS |= {f"distinct({name})": VALUES[name].drop_nulls().n_unique() for name in TYPES} | {"count": pl.len()}
METRICS |= {f"sum({n})": VALUES[n].sum() for n in NUMERIC} | {f"avg({n})": pl.col(n).mean() for n in NUMERIC}
# What a parameter is, and an example, one with commas for a list. A date alone begins in Japan (TIME-03).
Moment = Annotated[AwareDatetime, BeforeValidator(lambda t: f"{t}T00:00:00+09:00" if len(t) == 10 else t)]
KINDS = {
    "limit": (Annotated[int, Field(ge=1, le=10_000)], "100"),
    "version": (PositiveInt, "1"),
    "bbox": (tuple[FiniteFloat, FiniteFloat, FiniteFloat, FiniteFloat], "135.4,34.6,135.6,34.8"),
    "municipality": (Annotated[str, Field(pattern="^[0-9]{5,6}$")], "271004"),
    "sort": (list[Literal[*TYPES, *(f"-{name}" for name in TYPES)]], "-capacity,name"),
    "metrics": (list[Literal[*METRICS]], "count,sum(capacity)"),
    "filter-lang": (Literal["cql2-text", "cql2-json"], "cql2-text"),
    **dict.fromkeys(("lat", "lon", "radius"), (FiniteFloat, "34.69")),
    **dict.fromkeys(("fields", "group_by"), (list[Literal[*TYPES]], "no,name")),
    **dict.fromkeys(("as_of", "modified_since"), (Moment, "2026-04-01T09:00:00+09:00")),
}


def refuse(name, ja, en, code="invalid_parameter", fault=None):
    raise HTTPException(400, (code, f"パラメーター {name}: {ja}", f"The parameter {name}: {en}", name, fault or code))


def parameters(request, known):
    """The query of a request, each parameter as what it is: all are known, and the version is there."""
    found = {}
    for name, text in request.query_params.items():
        if name not in known:
            near = (get_close_matches(name, known, 1) or ["limit"])[0]
            refuse(name, f"{near} のことですか。", f"do you mean {near}?", "unknown_parameter")
        kind, example = KINDS.get(name, (str, ""))
        try:
            found[name] = TypeAdapter(kind).validate_python(text.split(",") if "," in example else text)
        except ValidationError:
            refuse(name, f"{example} のように指定してください。", f"give it such as {example}.")
    at = found.get("as_of", STARTED)
    if at > datetime.now(JST) + timedelta(seconds=5) or {"as_of", "version"} <= found.keys():
        refuse("as_of", "過去の日時で、version とは併用できません。", "give a time past, without version.")
    if at.year < 2000 or found.get("version", DATASET["version"]) != DATASET["version"]:
        raise HTTPException(404, ("version_not_found", "この版はありません。", "There is no such version."))
    return found


def folded(text):
    """Width, case, and hiragana or katakana make no difference to a search (QUERY-09)."""
    hiragana = {katakana: katakana - 0x60 for katakana in range(ord("ァ"), ord("ヶ") + 1)}
    return unicodedata.normalize("NFKC", text).casefold().translate(hiragana)


def geometry(record):
    place = [record["longitude"], record["latitude"]]
    return None if None in place else {"type": "Point", "coordinates": place}


def within(bbox):
    west, south, east, north = bbox
    if south > north:
        refuse("bbox", "南は北以下です。", "south is not above north.")
    lon = pl.col("longitude")  # a box may lie across the antimeridian
    east_west = lon.is_between(west, east) if west <= east else (lon >= west) | (lon <= east)
    return pl.col("latitude").is_between(south, north) & east_west


def filtered(table, text, language):
    """The records that meet a CQL2 condition. CASEI takes no notice of width either."""
    if "CASEI" in text.upper():
        text, table = unicodedata.normalize("NFKC", text), table.with_columns(pl.col(pl.String).str.normalize("NFKC"))
    try:
        told = cql2.parse_json(text) if language == "cql2-json" else cql2.parse_text(text)
        if not {*re.findall(r'"property": "([^"]+)"', json.dumps(told.to_json()))} <= {*TYPES, "geometry"}:
            raise ValueError("no such field")
        told.validate()
    except Exception:
        refuse("filter", "CQL2 として読めません。", "this is no CQL2.", "invalid_filter")
    found = []
    for record in table.to_dicts():
        with suppress(Exception):  # unknown, as of what has no value
            found += [record["no"]] if told.matches({**record, "geometry": geometry(record)}) else []
    return found


def selected(request, asked):
    """The records that meet all conditions, in the order that was asked for."""
    table = TABLE
    for name in TYPES.keys() & asked.keys():
        wanted = ",".join(request.query_params.getlist(name)).split(",")
        table = table.filter(pl.col(name).cast(pl.String).is_in(wanted))
    for word in folded(asked.get("q", "")).split():
        found = [text.map_elements(folded, pl.String).str.contains(word, literal=True) for text in TEXTS]
        table = table.filter(pl.any_horizontal(found))
    if "bbox" in asked:
        table = table.filter(within(asked["bbox"]))
    if "filter" in asked:
        table = table.filter(pl.col("no").is_in(filtered(table, asked["filter"], asked.get("filter-lang"))))
    near = [name for name in ("lat", "lon", "radius") if name in asked]
    if near and (len(near) < 3 or "sort" in asked):
        refuse(near[0], "lat、lon、radius を揃え、sort と併用しません。", "give lat, lon and radius, without sort.")
    if near:
        lat, lon = pl.lit(asked["lat"]).radians(), pl.lit(asked["lon"]).radians()
        north, east = pl.col("latitude").radians(), pl.col("longitude").radians()
        part = ((north - lat) / 2).sin() ** 2 + lat.cos() * north.cos() * ((east - lon) / 2).sin() ** 2
        table = table.with_columns(distance=(2 * 6371008.8 * part.sqrt().arcsin()).round(1))
        return table.filter(pl.col("distance") <= asked["radius"]).sort("distance", maintain_order=True)
    order = asked.get("sort") or ["no"]
    down = [part.startswith("-") for part in order]
    return table.sort([part.lstrip("-") for part in order], descending=down, nulls_last=True, maintain_order=True)


def answer(request, body, media="application/json", **headers):
    body = body if isinstance(body, bytes) else json.dumps(body, ensure_ascii=False, default=float).encode()
    tag = f'"{hashlib.sha256(body).hexdigest()[:24]}"'
    headers = {"ETag": tag, "X-Request-Id": uuid.uuid4().hex, "Cache-Control": "no-cache", **headers}
    if request.headers.get("if-none-match") == tag:
        return Response(status_code=304, headers=headers)
    return Response(body, media_type=media, headers=headers)


async def refused(request, found):
    """Every refusal is a problem document in the language that was asked for (ERROR-01 to ERROR-05)."""
    status, told = getattr(found, "status_code", 500), getattr(found, "detail", "")
    if not isinstance(told, tuple):  # no such path, no such method, or a fault of ours
        code = {404: "dataset_not_found", 405: "method_not_allowed"}.get(status, "internal_error")
        told = (code, "ここでは答えられません。", "There is no answer here.")
    languages = re.findall(r"([a-z]{2})[\w-]*(?:;q=(\d(?:\.\d+)?))?", request.headers.get("accept-language", "ja"))
    english = max(languages, key=lambda each: float(each[1] or 1), default=("ja", ""))[0] == "en"
    code, detail, request_id = told[0], told[1 + english], uuid.uuid4().hex
    body = {"type": f"urn:urbanos:problem:{code}", "status": status, "code": code, "detail": detail}
    body["title"] = ("この要求には答えられません", "This request cannot be answered")[english]
    body |= {"instance": request.url.path, "request_id": request_id}
    if told[3:]:
        body["errors"] = [{"pointer": told[3], "code": told[4], "detail": detail}]
    headers = {"X-Request-Id": request_id, "Cache-Control": "no-store"}
    return Response(json.dumps(body, ensure_ascii=False), status, headers, "application/problem+json")


def page_of(request, found, size=100):
    """The part of what was found that was asked for, its links, and the Link header."""
    params = request.query_params
    asked = repr((request.url.path, sorted(each for each in params.multi_items() if each[0] != "cursor")))
    question = hashlib.sha256(asked.encode()).hexdigest()[:16]  # a cursor is good for this one alone (PAGE-04)
    of, _, start = params.get("cursor", f"{question}.0").partition(".")
    if of != question or not re.fullmatch("[0-9]{1,9}", start):
        refuse("cursor", "next のまま指定してください。", "give that of a next link.", "invalid_cursor")
    start, end = int(start), int(start) + int(params.get("limit", size))
    if end >= len(found):
        return found[start:], [], {}
    href = str(request.url.include_query_params(cursor=f"{question}.{end}"))
    return found[start:end], [{"rel": "next", "href": href}], {"Link": f'<{href}>; rel="next"'}


def told(more):
    """What stands in every answer about the dataset. The age is in whole days: it is part of what is tagged."""
    age = (datetime.now(JST) - STARTED).days * 86_400
    meta = {"source": "hosted", "stale": False, "age_seconds": age, "revision": 0}
    return {"dataset": DATASET["id"], "version": DATASET["version"], **more, "meta": meta}


def cut(asked, table):
    """Only the fields that are named, by their Japanese names where asked."""
    table = table.select(*asked.get("fields", TYPES), pl.col("^distance$"))
    return table.rename(LABELS, strict=False) if asked.get("labels") == "ja" else table


async def health(request):
    parameters(request, set())
    now = datetime.now(JST).isoformat(timespec="seconds")
    body = {"status": "ok", "interface": "1.1.0", "conformance": ["core", "query"], "checked_at": now}
    return answer(request, body | {"source": {"reachable": True, "reached_at": now, "age_seconds": 0}})


async def catalogue(request):
    asked = parameters(request, CATALOGUE)
    code = asked.get("municipality", "27100")
    digit = str(11 - sum(int(digit) * weight for digit, weight in zip(code, (6, 5, 4, 3, 2))) % 11)[-1]
    if code[5:] not in ("", digit):
        refuse("municipality", "検査数字が違います。", "its check digit is wrong.", fault="wrong_check_digit")
    holds = {
        "q": lambda q: all(word in folded(str(DATASET)) for word in folded(q).split()),
        "theme": lambda theme: theme in DATASET["themes"],
        "publisher": lambda publisher: publisher == DATASET["publisher"]["id"],
        "class": lambda data_class: data_class == DATASET["data_class"],
        "profile": lambda profile: False,
        "municipality": lambda code: code[:5] == DATASET["publisher"]["id"][:5],
        "modified_since": lambda since: since <= STARTED,
        "bbox": lambda bbox: len(TABLE.filter(within(bbox))) > 0,
    }
    found = [DATASET] if all(holds[name](asked[name]) for name in holds.keys() & asked.keys()) else []
    shown, links, headers = page_of(request, found)
    return answer(request, {"numberReturned": len(shown), "datasets": shown, "links": links}, **headers)


async def entry(request):
    parameters(request, set())
    return answer(request, DATASET)


async def schema(request):
    words = {pl.Int64: "integer", pl.Float64: "number", pl.String: "string"}
    kinds = {name: words[column] for name, column in COLUMNS.items()}
    if parameters(request, VERSION | {"f"}).get("f") == "tableschema":
        return answer(request, {"fields": [{"name": n, "type": k} for n, k in kinds.items()], "primaryKey": ["no"]})
    body = {"type": "object", "properties": {name: {"type": [kind, "null"]} for name, kind in kinds.items()}}
    body["$schema"] = "https://json-schema.org/draft/2020-12/schema"
    return answer(request, body, "application/schema+json")


async def record(request):
    asked = parameters(request, RECORD)
    found = TABLE.filter(no=request.path_params["key"])
    if found.is_empty():
        raise HTTPException(404, ("record_not_found", "レコードがありません。", "There is no such record."))
    return answer(request, told({"record": cut(asked, found).to_dicts()[0], "links": []}))


async def records(request):
    asked = parameters(request, CONDITIONS | RECORD | {"count", "f", "bom", "charset", "sort"})
    accept = request.headers.get("accept", "*/*")
    accepted = next((name for name, media in FORMS.items() if media in accept), "json" if "*/*" in accept else "")
    form = asked.get("f", accepted)
    if form not in FORMS:
        raise HTTPException(406, ("not_acceptable", "この形式はありません。", "There is no such form."))
    found = selected(request, asked)
    if form in ("csv", "ndjson"):  # all of them, unless a limit was given (PAGE-07)
        page, _, headers = page_of(request, found, len(found))
        text = cut(asked, page).write_csv() if form == "csv" else cut(asked, page).write_ndjson()
        if asked.get("charset") == "cp932":
            text = "".join(sign if sign.encode("cp932", "ignore") else "〓" for sign in text)
        code = "cp932" if asked.get("charset") == "cp932" else "utf-8-sig" if asked.get("bom") == "true" else "utf-8"
        return answer(request, text.encode(code), FORMS[form], **headers)
    page, links, headers = page_of(request, found)
    body = {"numberReturned": len(page), "links": links, "records": cut(asked, page).to_dicts()}
    body |= {"numberMatched": len(found)} if asked.get("count") == "true" else {}
    if form == "geojson":
        shown = zip(page.to_dicts(), body.pop("records"))
        features = [{"type": "Feature", "geometry": geometry(r), "properties": its} for r, its in shown]
        body |= {"type": "FeatureCollection", "features": features}
    return answer(request, told(body), FORMS[form], **headers)


async def aggregate(request):
    asked = parameters(request, CONDITIONS | {"group_by", "metrics"})
    by, metrics = asked.get("group_by", []), asked.get("metrics", ["count"])
    found, wanted = selected(request, asked), [METRICS[name].alias(f"={name}") for name in metrics]
    groups = found.group_by(by).agg(wanted).sort(by, nulls_last=True) if by else found.select(wanted)
    page, links, headers = page_of(request, groups)
    rows = [{"by": {n: row[n] for n in by}, "values": {n: row["=" + n] for n in metrics}} for row in page.to_dicts()]
    return answer(request, told({"numberReturned": len(rows), "groups": rows, "links": links}), **headers)


OPERATIONS = {"": entry, "/schema": schema, "/records": records, "/records/{key}": record, "/aggregate": aggregate}
ROUTES = [Route("/v1/health", health), Route("/v1/datasets", catalogue)]
ROUTES += [Route(f"/v1/datasets/{DATASET['id']}{path}", operation) for path, operation in OPERATIONS.items()]
app = Starlette(routes=ROUTES, exception_handlers=dict.fromkeys((HTTPException, Exception), refused))
