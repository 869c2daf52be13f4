"""The reference provider with one thing wrong: for each rule a way to break it, and nothing else."""

import json
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final
from urllib.parse import parse_qsl, urlencode

import httpx

PROVIDER: Final = Path(__file__).parents[2] / "examples" / "provider"
sys.path.insert(0, str(PROVIDER))
import provider as provider  # type: ignore[import-not-found]  # noqa: E402, PLC0414

BASE: Final = "http://sandbox.test"
RECORDS: Final = "/v1/datasets/sandbox-facilities/records"
DATASET: Final = "/v1/datasets/sandbox-facilities"
Query = list[tuple[str, str]]
Asking = Callable[[str, Query, httpx.Headers], None]
Answering = Callable[["Answer"], None]


@dataclass(slots=True)
class Answer:
    """What the provider said, to be changed."""

    path: str
    query: dict[str, str]
    status: int
    headers: httpx.Headers
    body: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.body)

    @json.setter
    def json(self, told: Any) -> None:
        self.body = json.dumps(told, ensure_ascii=False).encode()


@dataclass(slots=True)
class Transport(httpx.AsyncBaseTransport):
    """Between the judge and the provider."""

    ask: Asking | None = None
    answer: Answering | None = None

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        query = parse_qsl(request.url.query.decode(), keep_blank_values=True)
        headers = request.headers
        if self.ask is not None:
            headers = httpx.Headers(headers)
            self.ask(request.url.path, query, headers)
        status, told, body = await _asked(request, query, headers)
        if self.answer is None:
            return httpx.Response(status, headers=told, content=body)
        answer = Answer(request.url.path, dict(query), status, httpx.Headers(told), body)
        self.answer(answer)
        answer.headers.pop("content-length", None)
        return httpx.Response(answer.status, headers=answer.headers, content=answer.body)


# What the provider said before: it says the same again, and 44 mutants ask the same.
_SAID: Final[dict[tuple[Any, ...], tuple[int, list[tuple[bytes, bytes]], bytes]]] = {}
_HEARD: Final = ("accept", "accept-language", "if-none-match")  # Linkage-Via it does not know


async def _asked(
    request: httpx.Request, query: Query, headers: httpx.Headers
) -> tuple[int, list[tuple[bytes, bytes]], bytes]:
    heard = (headers.get(name, "") for name in _HEARD)
    key = (request.method, request.headers.get("host"), request.url.path, *query, *heard)
    if key not in _SAID or any(name == "as_of" for name, _ in query):
        url = request.url.copy_with(query=urlencode(query).encode() or None)
        asked = httpx.Request(request.method, url, headers=headers)
        response = await httpx.ASGITransport(provider.app).handle_async_request(asked)
        _SAID[key] = response.status_code, response.headers.raw, await response.aread()
    return _SAID[key]


def _drop(name: str, value: str | None = None) -> Asking:
    """Ignores a parameter, as who does not know it does."""

    def ask(_path: str, query: Query, _headers: httpx.Headers) -> None:
        query[:] = [(n, v) for n, v in query if n != name or value not in (None, v)]

    return ask


def _instead(name: str, value: str, other: str) -> Asking:
    def ask(_path: str, query: Query, _headers: httpx.Headers) -> None:
        query[:] = [(n, other if (n, v) == (name, value) else v) for n, v in query]

    return ask


def _without_header(name: str) -> Asking:
    def ask(_path: str, _query: Query, headers: httpx.Headers) -> None:
        headers.pop(name, None)

    return ask


def _json(change: Callable[[Any], None], path: str | None = None, **where: str) -> Answering:
    """Changes what a good answer says: of one path, with these parameters."""

    def answer(told: Answer) -> None:
        asked = all(told.query.get(name.rstrip("_")) == value for name, value in where.items())
        is_json = (
            told.headers.get("content-type", "").endswith("json")
            and told.query.get("f") != "ndjson"
        )
        if told.status == 200 and is_json and asked and path in (None, told.path):
            body = told.json
            change(body)
            told.json = body

    return answer


def _each_record(change: Callable[[dict[str, Any]], None], **where: str) -> Answering:
    def changed(body: Any) -> None:
        for record in body.get("records", ()):
            change(record)

    return _json(changed, RECORDS, **where)


def _refusal(change: Callable[[dict[str, Any]], None]) -> Answering:
    def answer(told: Answer) -> None:
        if told.status >= 400:
            body = told.json
            change(body)
            told.json = body

    return answer


def _header(name: str, value: str, at_least: int = 400) -> Answering:
    def answer(told: Answer) -> None:
        if told.status >= at_least:
            told.headers[name] = value

    return answer


def _empty_notes(record: dict[str, Any]) -> None:
    record["note"] = record["note"] or ""


def _yomi(body: Any) -> None:
    body["properties"]["yomi"] = body["properties"].pop("kana")


def _swapped(body: Any) -> None:
    for feature in body["features"]:
        if feature["geometry"] is not None:
            feature["geometry"]["coordinates"].reverse()


def _japanese_heading(told: Answer) -> None:
    if told.query.get("f") == "csv":
        told.body = told.body.replace(b",name,", ",名称,".encode(), 1)


def _without_link(told: Answer) -> None:
    told.headers.pop("link", None)


def _always_matched(body: Any) -> None:
    body.setdefault("numberMatched", 120)


def _every_second_time(seen: Iterator[int]) -> Answering:
    def changed(body: Any) -> None:
        if next(seen) % 2:
            body["records"].reverse()

    return _json(changed, RECORDS, limit="50")


def _no_mend(body: dict[str, Any]) -> None:
    for each in body.get("errors", ()):
        del each["detail"]


def _japanese(body: dict[str, Any]) -> None:
    body["title"], body["detail"] = "要求を読めません", "誤りがあります。"


def _one_id(told: Answer) -> None:
    if told.status >= 400:
        told.json = {**told.json, "request_id": "1"}
        told.headers["x-request-id"] = "1"


def _traced(body: dict[str, Any]) -> None:
    body["detail"] += ' Traceback (most recent call last): File "a.py"'


def _fails_at_foreign_digits(told: Answer) -> None:
    if told.query.get("limit") == "٣":
        told.status = 500


def _without_offset(body: Any) -> None:
    body["modified_at"] = body["modified_at"][:19]


def _slashes(record: dict[str, Any]) -> None:
    record["opened_on"] = (record["opened_on"] or "").replace("-", "/") or None


def _five_digits(record: dict[str, Any]) -> None:
    record["ward"] = record["ward"][:5]


def _unlisted(record: dict[str, Any]) -> None:
    record["kind"] = "99"


def _with_unit(record: dict[str, Any]) -> None:
    record["area"] = None if record["area"] is None else f"{record['area']}㎡"


_TAGS = iter(range(10**6))


def _new_tag(told: Answer) -> None:
    if told.path == "/v1/datasets" and told.status == 200:
        told.headers["etag"] = f'"{next(_TAGS)}"'


def _without_age(body: Any) -> None:
    body.get("meta", {}).pop("age_seconds", None)


def _says_degraded(body: Any) -> None:
    body["status"] = "degraded"


def _no_license(body: Any) -> None:
    for entry in body["datasets"]:
        entry["license"] = None


def _no_list(_path: str, query: Query, _headers: httpx.Headers) -> None:
    query[:] = [(n, v.split(",")[0] if n == "no" else v) for n, v in query]


def _no_between(_path: str, query: Query, _headers: httpx.Headers) -> None:
    query[:] = [(n, v) for n, v in query if n != "filter" or "BETWEEN" not in v]


def _no_antimeridian(_path: str, query: Query, _headers: httpx.Headers) -> None:
    for at, (name, value) in enumerate(query):
        if name == "bbox":
            west, south, east, north = value.split(",")
            if float(west) > float(east):
                query[at] = (name, f"{east},{south},{west},{north}")


def _farther(record: dict[str, Any]) -> None:
    if "distance" in record:
        record["distance"] *= 1.01


def _nulls_first(told: Answer) -> None:
    name = told.query.get("sort", "")
    if name.startswith("-"):
        body = told.json
        body["records"].sort(key=lambda each: each[name[1:]] is not None)
        told.json = body


def _unconditional(path: str, query: Query, _headers: httpx.Headers) -> None:
    if path.endswith("/aggregate"):
        query[:] = [(n, v) for n, v in query if n != "no"]


def _one_more(body: Any) -> None:
    for group in body["groups"]:
        for name in group["values"]:
            if name.startswith("sum"):
                group["values"][name] += 1


def _misses_one(told: Answer) -> None:
    if "q" in told.query and told.status == 200 and told.path == RECORDS:
        body = told.json
        del body["records"][:1]
        told.json = body


def _cut_files(_path: str, query: Query, _headers: httpx.Headers) -> None:
    told = dict(query)
    if told.get("f") in ("csv", "ndjson") and "limit" not in told:
        query.append(("limit", "100"))


def _refuses_what_came_through_another(_path: str, query: Query, headers: httpx.Headers) -> None:
    if "linkage-via" in headers:
        query.append(("limit", "0"))


_COUNTED: Final = "/v1/datasets/sandbox-people"


def counts(wards: dict[str, int | None], total: int | None) -> Answering:
    """A second dataset that is only counted, by ward."""

    def answer(told: Answer) -> None:
        if told.path == "/v1/datasets" and told.status == 200:
            body = told.json
            body["datasets"].append({**provider.DATASET, "id": "sandbox-people"})
            told.json = body
        if not told.path.startswith(_COUNTED):
            return
        by = told.query.get("group_by")
        if told.path.endswith("/records"):
            told.status, told.json = 403, {**told.json, "status": 403, "code": "aggregate_only"}
        elif told.path == _COUNTED:
            told.status, told.json = 200, provider.DATASET
        elif by not in (None, "ward") or "filter" in told.query:
            told.status, told.json = 403, {**told.json, "status": 403, "code": "not_a_dimension"}
        else:
            sums = wards if by else {"": total}
            groups = [_group(ward if by else None, sums[ward]) for ward in sums]
            told.status, told.json = 200, {"groups": groups}

    return answer


def _group(ward: str | None, count: int | None) -> dict[str, Any]:
    told: dict[str, Any] = {"by": {"ward": ward} if ward else {}, "values": {"count": count}}
    return told if count is not None else {**told, "suppressed": True}


MUTANTS: Final[dict[str, Callable[[], Transport]]] = {
    "SCHEMA-01": lambda: Transport(answer=_json(
        lambda body: body["properties"].update(capacity={"type": "string"}), f"{DATASET}/schema")),
    "SCHEMA-02": lambda: Transport(answer=_json(_yomi, f"{DATASET}/schema")),
    "SCHEMA-03": lambda: Transport(answer=_each_record(_empty_notes, limit="1000")),
    "SCHEMA-04": lambda: Transport(answer=_json(_no_license, "/v1/datasets")),
    "SCHEMA-05": lambda: Transport(answer=_json(_swapped, RECORDS, f="geojson")),
    "SCHEMA-06": lambda: Transport(answer=_japanese_heading),
    "SCHEMA-07": lambda: Transport(ask=_without_header("accept")),
    "PAGE-01": lambda: Transport(ask=_instead("limit", "10001", "10000")),
    "PAGE-02": lambda: Transport(answer=_without_link),
    "PAGE-04": lambda: Transport(ask=_drop("cursor", "no-cursor-of-yours")),
    "PAGE-05": lambda: Transport(answer=_json(_always_matched, RECORDS)),
    "PAGE-06": lambda: Transport(answer=_every_second_time(iter(range(10**6)))),
    "PAGE-07": lambda: Transport(ask=_cut_files),
    "QUERY-01": lambda: Transport(ask=_drop("limt")),
    "QUERY-10": lambda: Transport(ask=_drop("version", "2147483647")),
    "ERROR-01": lambda: Transport(answer=_header("content-type", "application/json")),
    "ERROR-02": lambda: Transport(answer=_refusal(lambda body: body.update(instance=None))),
    "ERROR-03": lambda: Transport(answer=_refusal(_no_mend)),
    "ERROR-04": lambda: Transport(answer=_refusal(_japanese)),
    "ERROR-05": lambda: Transport(answer=_one_id),
    "ERROR-06": lambda: Transport(answer=_refusal(_traced)),
    "ERROR-07": lambda: Transport(answer=_fails_at_foreign_digits),
    "ERROR-08": lambda: Transport(
        answer=_header("sunset", "Wed, 01 Apr 2037 00:00:00 GMT", at_least=200)),
    "ERROR-09": lambda: Transport(ask=_refuses_what_came_through_another),
    "TIME-01": lambda: Transport(answer=_json(_without_offset, DATASET)),
    "TIME-02": lambda: Transport(answer=_each_record(_slashes, limit="1000")),
    "TIME-03": lambda: Transport(ask=_instead(
        "modified_since", "2026-04-01T00:00:00", "2026-04-01T00:00:00+09:00")),
    "CODE-01": lambda: Transport(answer=_each_record(_five_digits, limit="1000")),
    "CODE-02": lambda: Transport(ask=_instead("municipality", "27100", "131016")),
    "CODE-03": lambda: Transport(ask=_instead("municipality", "271005", "271004")),
    "CODE-04": lambda: Transport(answer=_each_record(_unlisted, limit="1000")),
    "CODE-05": lambda: Transport(answer=_each_record(_with_unit, limit="1000")),
    "CACHE-01": lambda: Transport(answer=_new_tag),
    "CACHE-02": lambda: Transport(ask=_without_header("if-none-match")),
    "CACHE-03": lambda: Transport(answer=_header("cache-control", "public, max-age=60")),
    "CACHE-04": lambda: Transport(answer=_json(_without_age)),
    "CACHE-05": lambda: Transport(answer=_json(_says_degraded, "/v1/health")),
    "QUERY-02": lambda: Transport(ask=_no_list),
    "QUERY-03": lambda: Transport(ask=_no_between),
    "QUERY-04": lambda: Transport(ask=_no_antimeridian),
    "QUERY-05": lambda: Transport(answer=_each_record(_farther)),
    "QUERY-06": lambda: Transport(answer=_nulls_first),
    "QUERY-07": lambda: Transport(ask=_drop("fields")),
    "QUERY-08": lambda: Transport(ask=_unconditional),
    "QUERY-09": lambda: Transport(answer=_misses_one),
    "QUERY-11": lambda: Transport(ask=_drop("as_of", "1950-01-01T00:00:00Z")),
    "QUERY-12": lambda: Transport(answer=_json(_one_more, f"{DATASET}/aggregate")),
    "QUERY-13": lambda: Transport(answer=counts({"271021": 48, "271039": None}, 49)),
}  # fmt: skip
