"""A reference provider of the Linkage Interface: the classes core and query over one CSV file.

It is written from the published standard alone, to be read and copied. One process, all in memory;
`uvicorn provider:app` serves it. It needs starlette, cql2 and uvicorn, and nothing of the platform.
"""

import base64
import csv
import hashlib
import io
import json
import math
import unicodedata
import uuid
from collections import Counter
from datetime import datetime, timedelta, timezone
from decimal import Decimal
from difflib import get_close_matches
from pathlib import Path

import cql2
from starlette.applications import Starlette
from starlette.responses import Response
from starlette.routing import Route

JST = timezone(timedelta(hours=9))
STARTED = datetime.now(JST).replace(microsecond=0)
FOLDER = Path(__file__).parent
DATASET = json.loads((FOLDER / "dataset.json").read_text("utf-8"))
FIELDS = DATASET["fields"]
NAMES = [field["name"] for field in FIELDS]
TYPES = {field["name"]: field["type"] for field in FIELDS}
PAGE = {"limit", "cursor", "count", "f", "labels", "bom", "charset", "version", "as_of", "purpose"}
QUERY = {"filter", "filter-lang", "q", "bbox", "lat", "lon", "radius", "fields", "sort", *NAMES}
CATALOGUE = {"q", "theme", "publisher", "class", "profile", "municipality", "bbox", "modified_since", "limit", "cursor"}
FORMS = {
    "json": "application/json",
    "geojson": "application/geo+json",
    "csv": "text/csv",
    "ndjson": "application/x-ndjson",
}
CODES = {
    "unknown_parameter": 400,
    "invalid_parameter": 400,
    "invalid_cursor": 400,
    "invalid_filter": 400,
    "not_found": 404,
    "version_not_found": 404,
    "not_acceptable": 406,
}
WORDS = {
    400: ("要求を読めません", "The request cannot be read"),
    404: ("ありません", "Not found"),
    406: ("その形式では答えられません", "Not in that form"),
}


class Refusal(Exception):
    def __init__(self, code, ja, en, pointer=None, fault=None):
        self.code, self.ja, self.en, self.pointer, self.fault = code, ja, en, pointer, fault or code


def value_of(text, kind):
    if text == "":
        return None
    if kind == "integer":
        return int(text)
    return float(text) if kind in ("decimal", "latitude", "longitude") else text


def load():
    with (FOLDER / "records.csv").open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    return [{name: value_of(row[name], TYPES[name]) for name in NAMES} for row in rows]


RECORDS = load()


def point(record):
    west, north = record["longitude"], record["latitude"]
    return None if west is None or north is None else (west, north)


def folded(text):
    wide = unicodedata.normalize("NFKC", str(text)).casefold()
    return "".join(chr(ord(c) - 0x60) if "ァ" <= c <= "ヶ" else c for c in wide)


def metres(one, other):
    (lon1, lat1), (lon2, lat2) = ([math.radians(n) for n in each] for each in (one, other))
    part = math.sin((lat2 - lat1) / 2) ** 2
    part += math.cos(lat1) * math.cos(lat2) * math.sin((lon2 - lon1) / 2) ** 2
    return 2 * 6371008.8 * math.asin(math.sqrt(part))


# --- what was asked -------------------------------------------------------------------------------


def refuse(name, ja, en, code="invalid_parameter", fault="invalid_value"):
    raise Refusal(code, f"パラメーター {name}: {ja}", f"The parameter {name}: {en}", name, fault)


def check_names(request, known):
    for name in request.query_params:
        if name not in known:
            near = (get_close_matches(name, known, 1) or ["limit"])[0]
            raise Refusal(
                "unknown_parameter",
                f"{name} はありません。{near} のことですか。",
                f"There is no {name}. Do you mean {near}?",
                name,
            )


def number(params, name, default, low, high):
    text = params.get(name, str(default))
    if not (text.isascii() and text.isdigit()) or not low <= int(text) <= high:
        refuse(name, f"{low}から{high}の整数です。", f"give a whole number from {low} to {high}.")
    return int(text)


def numbers(params, name, count):
    try:
        found = [float(part) for part in params[name].split(",")]
    except ValueError:
        found = []
    if len(found) != count or not all(map(math.isfinite, found)):
        refuse(name, f"数値{count}個です。", f"give {count} numbers.")
    return found


def moment(params, name):
    text = params[name]
    try:
        if len(text) == 10:
            return datetime.fromisoformat(text).replace(tzinfo=JST)
        found = datetime.fromisoformat(text)
    except ValueError:
        found = None
    if found is None or found.tzinfo is None:
        refuse(name, "時差付きの日時です。", "give a time with an offset.")
    return found


def form_of(request):
    asked = request.query_params.get("f")
    if asked is None:
        accept = request.headers.get("accept", "*/*")
        known = [name for name, media in FORMS.items() if media in accept]
        asked = known[0] if known else "json" if "*/*" in accept or "problem" in accept else accept
    if asked not in FORMS:
        raise Refusal("not_acceptable", "この形式はありません。", "There is no such form.", "f")
    return asked


def check_version(params):
    if "as_of" in params:
        at = moment(params, "as_of")
        if "version" in params or at > datetime.now(JST) + timedelta(seconds=5):
            refuse("as_of", "過去の日時で、version とは併用できません。", "a time past, without version.")
        if at.year < 2000:
            raise Refusal("version_not_found", "その時点の版はありません。", "There was none then.")
    if "version" in params and number(params, "version", 1, 1, 2**31 - 1) != DATASET["version"]:
        raise Refusal("version_not_found", "この版はありません。", "There is no such version.")


# --- conditions -----------------------------------------------------------------------------------


def condition(params):
    text, language = params["filter"], params.get("filter-lang", "cql2-text")
    try:
        if "CASEI" in text.upper():
            text = unicodedata.normalize("NFKC", text)
        told = cql2.parse_text(text) if language == "cql2-text" else cql2.parse_json(text)
        used = json.dumps(told.to_json())
        names = [part.split('"')[0] for part in used.split('"property": "')[1:]]
        if any(name not in (*NAMES, "geometry") for name in names):
            raise ValueError("no such field")
        told.validate()
    except Exception:
        refuse("filter", "CQL2 として読めません。", "this is no CQL2.", "invalid_filter")
    wide = "casei" in used

    def holds(record):
        place = point(record)
        item = {k: unicodedata.normalize("NFKC", v) if wide and isinstance(v, str) else v for k, v in record.items()}
        item["geometry"] = place and {"type": "Point", "coordinates": list(place)}
        try:
            return told.matches(item)
        except Exception:
            return False  # unknown, as of what has no value

    return holds


def conditions(request):
    params, found = request.query_params, []
    for name in NAMES:
        wanted = [part for value in params.getlist(name) for part in value.split(",")]
        if wanted:
            found.append(lambda r, n=name, w=wanted: r[n] is not None and str(r[n]) in w)
    if "filter" in params:
        found.append(condition(params))
    if "q" in params:
        words = folded(params["q"]).split()
        texts = [name for name in NAMES if TYPES[name] in ("text", "kana")]
        found.append(lambda r: all(any(w in folded(r[n] or "") for n in texts) for w in words))
    if "bbox" in params:
        west, south, east, north = numbers(params, "bbox", 4)
        if south > north:
            refuse("bbox", "南は北以下です。", "south is not above north.")
        inside = (lambda x: west <= x <= east) if west <= east else (lambda x: x >= west or x <= east)
        found.append(lambda r: bool(p := point(r)) and inside(p[0]) and south <= p[1] <= north)
    return found


def near(params):
    given = [name for name in ("lat", "lon", "radius") if name in params]
    if not given:
        return None
    if len(given) < 3 or "sort" in params:
        refuse(given[0], "lat、lon、radius を揃え、sort と併用しません。", "lat, lon and radius, no sort.")
    return [numbers(params, name, 1)[0] for name in ("lon", "lat", "radius")]


def selected(request):
    params, records = request.query_params, RECORDS
    around = near(params)
    for holds in conditions(request):
        records = [record for record in records if holds(record)]
    if around:
        *here, radius = around
        told = [({**r, "distance": round(metres(here, p), 1)}) for r in records if (p := point(r))]
        return sorted((r for r in told if r["distance"] <= radius), key=lambda r: r["distance"])
    for part in reversed(params.get("sort", "").split(",") if "sort" in params else []):
        name, down = part.lstrip("-"), part.startswith("-")
        if name not in NAMES:
            refuse("sort", "項目がありません。", "there is no such field.")
        there = sorted((r for r in records if r[name] is not None), key=lambda r: r[name], reverse=down)
        records = there + [r for r in records if r[name] is None]
    return records


# --- answers --------------------------------------------------------------------------------------


def answer(request, body, media="application/json", **headers):
    if not isinstance(body, bytes):
        body = json.dumps(body, ensure_ascii=False).encode()
    tag = f'"{hashlib.sha256(body).hexdigest()[:24]}"'
    headers = {"ETag": tag, "X-Request-Id": uuid.uuid4().hex, "Cache-Control": "no-cache", **headers}
    if request.headers.get("if-none-match") == tag:
        return Response(status_code=304, headers=headers)
    return Response(body, media_type=media, headers=headers)


async def refused(request, refusal):
    status, language = CODES[refusal.code], request.headers.get("accept-language", "ja")
    ranked = sorted(language.split(","), key=lambda p: -float([*p.split(";q="), "1"][1]))
    english = ranked[0].strip().startswith("en")
    request_id, detail = uuid.uuid4().hex, refusal.en if english else refusal.ja
    body = {
        "type": f"urn:urbanos:problem:{refusal.code}",
        "title": WORDS[status][english],
        "status": status,
        "code": refusal.code,
        "detail": detail,
        "instance": request.url.path,
        "request_id": request_id,
    }
    if refusal.pointer:
        body["errors"] = [{"pointer": refusal.pointer, "code": refusal.fault, "detail": detail}]
    return Response(
        json.dumps(body, ensure_ascii=False),
        status,
        media_type="application/problem+json",
        headers={"X-Request-Id": request_id, "Cache-Control": "no-store"},
    )


def question(request):
    kept = sorted((k, v) for k, v in request.query_params.multi_items() if k != "cursor")
    return hashlib.sha256(repr((request.url.path, kept)).encode()).hexdigest()[:16]


def page_of(request, found):
    limit, start = number(request.query_params, "limit", 100, 1, 10_000), 0
    if "cursor" in request.query_params:
        try:
            told = base64.urlsafe_b64decode(request.query_params["cursor"].encode()).decode().split(".")
            start = int(told[1]) if told[0] == question(request) and len(told) == 2 else -1
        except (ValueError, IndexError):
            start = -1
        if start < 0:
            refuse("cursor", "next のまま指定してください。", "give that of a next link.", "invalid_cursor")
    links, headers = [], {}
    if start + limit < len(found):
        cursor = base64.urlsafe_b64encode(f"{question(request)}.{start + limit}".encode()).decode()
        href = str(request.url.include_query_params(cursor=cursor))
        links, headers = [{"rel": "next", "href": href}], {"Link": f'<{href}>; rel="next"'}
    return found[start : start + limit], links, headers


def meta():
    age = (datetime.now(JST) - STARTED).days  # whole days: the tag of an answer is of its content
    return {"source": "hosted", "stale": False, "age_seconds": age * 86_400, "revision": 0}


def cut(request, records):
    names = request.query_params["fields"].split(",") if "fields" in request.query_params else NAMES
    if any(name not in NAMES for name in names):
        refuse("fields", "項目がありません。", "there is no such field.")
    more = ["distance"] if records and "distance" in records[0] else []
    return [{name: record[name] for name in [*names, *more]} for record in records]


def sheet(request, records):
    out = io.StringIO()
    writer = csv.DictWriter(out, list(records[0]) if records else NAMES)
    writer.writeheader()
    writer.writerows(records)
    return (b"\xef\xbb\xbf" if request.query_params.get("bom") == "true" else b"") + out.getvalue().encode()


def feature(record):
    place = point(record)
    return {
        "type": "Feature",
        "geometry": place and {"type": "Point", "coordinates": list(place)},
        "properties": record,
    }


def known(request):
    if request.path_params["dataset"] != DATASET["id"]:
        raise Refusal("not_found", "データセットがありません。", "There is no such dataset.")


async def health(request):
    check_names(request, set())
    now = datetime.now(JST).isoformat(timespec="seconds")
    return answer(
        request,
        {
            "status": "ok",
            "interface": "1.1.0",
            "conformance": ["core", "query"],
            "checked_at": now,
            "source": {"reachable": True, "reached_at": now},
        },
    )


async def list_datasets(request):
    check_names(request, CATALOGUE)
    params, found = request.query_params, [entry()]
    if "municipality" in params:
        code = params["municipality"]
        total = sum(int(d) * w for d, w in zip(code, (6, 5, 4, 3, 2))) if code.isdigit() else -1
        if total < 0 or (len(code) == 6 and code[5] != str(11 - total % 11)[-1]):
            refuse("municipality", "検査数字が違います。", "its check digit is wrong.", fault="wrong_check_digit")
        found = [each for each in found if each["publisher"]["id"][:5] == code[:5]]
    if "modified_since" in params and moment(params, "modified_since") > STARTED:
        found = []
    if params.get("class", "public") != "public":
        found = []
    shown, links, headers = page_of(request, found)
    body = {"numberReturned": len(shown), "datasets": shown, "links": links}
    return answer(request, body, **headers)


def entry():
    return {**DATASET, "modified_at": STARTED.isoformat()}


async def show_dataset(request):
    known(request)
    check_names(request, set())
    return answer(request, entry())


async def show_schema(request):
    known(request)
    kinds = {
        "integer": ["integer", "null"],
        **{kind: ["number", "null"] for kind in ("decimal", "latitude", "longitude")},
    }
    told = {name: {"type": kinds.get(TYPES[name], ["string", "null"])} for name in NAMES}
    return answer(
        request,
        {"$schema": "https://json-schema.org/draft/2020-12/schema", "type": "object", "properties": told},
        "application/schema+json",
    )


async def list_records(request):
    known(request)
    check_names(request, PAGE | QUERY)
    params, form = request.query_params, form_of(request)
    check_version(params)
    found = selected(request)
    records, links, headers = page_of(request, found)
    records = cut(request, records)
    if form == "csv":
        return answer(request, sheet(request, records), FORMS[form])
    if form == "ndjson":
        lines = [json.dumps(record, ensure_ascii=False) + "\n" for record in records]
        return answer(request, "".join(lines).encode(), FORMS[form])
    body = {"dataset": DATASET["id"], "version": DATASET["version"], "numberReturned": len(records)}
    if params.get("count") == "true":
        body["numberMatched"] = len(found)
    labels = {field["name"]: field["label"] for field in FIELDS}
    if form == "geojson":
        body |= {"type": "FeatureCollection", "features": [feature(each) for each in records]}
    elif params.get("labels") == "ja":
        body["records"] = [{labels.get(k, k): v for k, v in each.items()} for each in records]
    else:
        body["records"] = records
    return answer(request, {**body, "links": links, "meta": meta()}, FORMS[form], **headers)


def metric(name, records):
    if name == "count":
        return len(records)
    what, _, field = name.rstrip(")").partition("(")
    values = [Decimal(str(r[field])) for r in records if r.get(field) is not None]
    if not values:
        return None
    found = {
        "sum": sum,
        "min": min,
        "max": max,
        "count": len,
        "distinct": lambda v: len(set(v)),
        "avg": lambda v: sum(v) / len(v),
    }[what](values)
    return int(found) if found == int(found) else float(found)


async def aggregate(request):
    known(request)
    check_names(request, PAGE | QUERY | {"group_by", "metrics"})
    by = [name for name in request.query_params.get("group_by", "").split(",") if name]
    metrics = request.query_params.get("metrics", "count").split(",")
    records = selected(request)
    keys = Counter(tuple(record[name] for name in by) for record in records)
    groups = [
        {
            "by": dict(zip(by, key)),
            "values": {each: metric(each, [r for r in records if tuple(r[n] for n in by) == key]) for each in metrics},
        }
        for key in sorted(keys, key=lambda key: [(part is None, str(part)) for part in key])
    ]
    shown, links, headers = page_of(request, groups)
    body = {"dataset": DATASET["id"], "version": DATASET["version"], "numberReturned": len(shown)}
    return answer(request, {**body, "groups": shown, "links": links, "meta": meta()}, **headers)


async def nowhere(request, _):
    return await refused(request, Refusal("not_found", "ありません。", "There is nothing here."))


ROUTES = [
    Route("/v1/health", health),
    Route("/v1/datasets", list_datasets),
    Route("/v1/datasets/{dataset}", show_dataset),
    Route("/v1/datasets/{dataset}/schema", show_schema),
    Route("/v1/datasets/{dataset}/records", list_records),
    Route("/v1/datasets/{dataset}/aggregate", aggregate),
]
app = Starlette(routes=ROUTES, exception_handlers={Refusal: refused, 404: nowhere})
