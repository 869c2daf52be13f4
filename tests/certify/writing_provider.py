"""The reference provider with the classes `write` and `changes`: what it holds changes, and is followed.

Written from the published standard, as the provider is. A fault is one method said otherwise.
"""

import asyncio
import hashlib
import json
import re
from typing import Any, Final

import httpx
import polars as pl
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from app.certify.cases.values import is_code
from tests.certify.mutants import DATASET, PROVIDER, RECORDS, provider

TOKEN: Final = "lent-to-the-judge"
KEYLESS: Final = "/v1/datasets/sandbox-lines"
NOW: Final = "2026-04-01T00:00:00+09:00"
_AS_LOADED: Final = provider.RECORDS
_TABLE: Final = provider.TABLE
_CURSOR: Final = re.compile(rb"cursor=([0-9a-f.]+)")
_ENTRY: Final = json.loads((PROVIDER / "dataset.json").read_text("utf-8"))
_NUMBERS: Final = ("integer", "decimal", "latitude", "longitude")
_STATUS: Final = {
    "invalid_cursor": 400, "token_required": 401, "record_not_found": 404, "dataset_has_no_key": 409,
    "cursor_expired": 410, "body_too_large": 413, "idempotency_key_reused": 422,
}  # fmt: skip
Record = dict[str, Any]


class Refused(Exception):
    """What is not done; its code says why."""

    def __init__(self, code: str) -> None:
        self.code = code


def _refusal(request: Request, refused: Exception) -> Response:
    assert isinstance(refused, Refused)
    status = _STATUS[refused.code]
    told = {
        "type": f"urn:urbanos:problem:{refused.code}", "title": "できません", "status": status, "code": refused.code, "detail": "できません。",
        "instance": request.url.path, "request_id": "1",
    }  # fmt: skip
    return Response(json.dumps(told), status, media_type="application/problem+json")


class Writing:
    """One provider with records of its own. All that it does not say itself, the other one says."""

    most = 10_000

    def __init__(self) -> None:
        self.records: dict[str, Record] = {each["no"]: each for each in _AS_LOADED}
        self.revision = 0
        self.walks: dict[bytes, Any] = {}
        self.log: list[dict[str, Any]] = []
        self.answers: dict[str | None, tuple[bytes, dict[str, Any]]] = {}
        own = [
            Route("/v1/health", self.health),
            Route("/v1/datasets", self.listed),
            Route(RECORDS, self.write, methods=["POST"]),
            Route(RECORDS + "/{key}", self.delete, methods=["DELETE"]),
            Route(RECORDS + "/{key}", self.one),
            Route(f"{DATASET}/changes", self.changes),
            Route(f"{KEYLESS}/changes", self.without_key),
        ]
        self.app = Starlette(routes=own, exception_handlers={Refused: _refusal})
        self.app.router.default = self.otherwise

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        is_read = scope["method"] == "GET" and scope["path"] == RECORDS
        await (self.otherwise if is_read else self.app)(scope, receive, send)

    async def otherwise(self, scope: Any, receive: Any, send: Any) -> None:
        """What the provider says of the records as they were when the walk through them began."""
        table = self.table_of(_CURSOR.search(scope["query_string"]))
        provider.TABLE = table

        async def noted(message: Any) -> None:
            for name, value in message.get("headers", ()):
                if name == b"link" and (found := _CURSOR.search(value)):
                    self.walks[found[1]] = table
            await send(message)

        try:
            await provider.app(scope, receive, noted)
        finally:
            provider.TABLE = _TABLE

    def table_of(self, cursor: re.Match[bytes] | None) -> Any:
        """The records that a page is of."""
        if cursor is not None and cursor[1] in self.walks:
            return self.walks[cursor[1]]
        return pl.DataFrame([*self.records.values()], schema=provider.COLUMNS)

    async def theirs(self, request: Request) -> Response:
        """What the provider says to the same question."""
        language = {"accept-language": request.headers.get("accept-language", "ja")}
        asked = httpx.Request("GET", str(request.url), headers=language)
        answer = await httpx.ASGITransport(provider.app).handle_async_request(asked)
        return Response(await answer.aread(), answer.status_code, dict(answer.headers))

    async def health(self, request: Request) -> Response:
        told = json.loads(bytes((await self.theirs(request)).body))
        return self.said(request, {**told, "conformance": ["core", "query", "write", "changes"]})

    async def listed(self, request: Request) -> Response:
        theirs = await self.theirs(request)
        if theirs.status_code != 200:
            return theirs
        told = json.loads(bytes(theirs.body))
        lines = {**_ENTRY, "id": KEYLESS.rpartition("/")[2], "modified_at": NOW}
        lines["fields"] = [each for each in lines["fields"] if not each["key"]]
        told["datasets"].append(lines)
        return self.said(request, {**told, "numberReturned": len(told["datasets"])})

    def said(self, request: Request, told: Any) -> Response:
        body = json.dumps(told, ensure_ascii=False).encode()
        headers = {
            "ETag": f'"{hashlib.sha256(body).hexdigest()[:24]}"',
            "Cache-Control": "no-cache",
        }
        if request.headers.get("if-none-match") == headers["ETag"]:
            return Response(status_code=304, headers=headers)
        return Response(body, media_type="application/json", headers=headers)

    def page_told(self, told: Record) -> Record:
        meta = {"source": "hosted", "stale": False, "age_seconds": 0, "revision": self.revision}
        return {"dataset": _ENTRY["id"], **told, "meta": meta}

    # --- writing ----------------------------------------------------------------------------------

    async def write(self, request: Request) -> Response:
        self.check_token(request)
        body, key = await request.body(), request.headers.get("idempotency-key")
        await asyncio.sleep(0)  # as who asks a database does: others come in between
        told = self.recall(key, body)
        if told is None:
            told = self.upserted(self.parsed(request, body))
            self.remember(key, body, told)
        return self.said(request, told)

    def check_token(self, request: Request) -> None:
        if request.headers.get("authorization") != f"Bearer {TOKEN}":
            raise Refused("token_required")

    def parsed(self, request: Request, body: bytes) -> list[Record]:
        if "ndjson" in request.headers["content-type"]:
            records = [json.loads(line) for line in self.lines(body)]
        else:
            records = json.loads(body)
        if len(records) > self.most:
            raise Refused("body_too_large")
        return records

    def lines(self, body: bytes) -> list[bytes]:
        return [line for line in body.splitlines() if line]

    def recall(self, key: str | None, body: bytes) -> dict[str, Any] | None:
        if key is None or key not in self.answers:
            return None
        first, told = self.answers[key]
        if first != body:
            raise Refused("idempotency_key_reused")
        return told

    def remember(self, key: str | None, body: bytes, told: dict[str, Any]) -> None:
        if key is not None:
            self.answers[key] = body, told

    def upserted(self, records: list[Record]) -> dict[str, Any]:
        results = []
        for at, record in enumerate(records):
            errors = [
                {"pointer": self.pointer(at, name), "code": "invalid_value", "detail": "誤りです。"}
                for name in self.wrong_in(record)
            ]
            status = "rejected" if errors else self.status_of(record)
            results.append({"index": at, "key": record["no"], "status": status, "errors": errors})
        taken = [r for r, told in zip(records, results, strict=True) if not told["errors"]]
        statuses = {told["status"] for told in results}
        self.revision += self.moves(statuses)
        for record in self.stored(taken):
            if self.is_news(self.status_of(record)):
                self.happened("upsert", record["no"], record)
            self.records[record["no"]] = record
        return {
            "dataset": _ENTRY["id"], "version": 1, "revision": self.revision,
            "accepted": len(taken), "rejected": len(records) - len(taken), "results": results,
        }  # fmt: skip

    def status_of(self, record: Record) -> str:
        before = self.records.get(record["no"])
        return "inserted" if before is None else "unchanged" if before == record else "updated"

    def wrong_in(self, record: Record) -> list[str]:
        return [
            each["name"] for each in _ENTRY["fields"] if not self.fits(each, record[each["name"]])
        ]

    def fits(self, field: Record, value: Any) -> bool:
        if value is None:
            return not (field["required"] or field["key"])
        if field["type"] in _NUMBERS:
            return isinstance(value, int | float)
        if field["type"] == "local_government_code":
            return is_code(value)
        if field["type"] == "date":
            return re.fullmatch(r"\d{4}-[01]\d-[0-3]\d", value) is not None
        return not field["code_list"] or value in field["code_list"]

    def pointer(self, at: int, name: str) -> str:
        return f"/{at}/{name}"

    def moves(self, statuses: set[str]) -> bool:
        return bool(statuses & {"inserted", "updated"})

    def stored(self, taken: list[Record]) -> list[Record]:
        return taken

    def is_news(self, status: str) -> bool:
        return status != "unchanged"

    async def one(self, request: Request) -> Response:
        record = self.records[self.known(request)]
        return self.said(request, self.page_told({"version": 1, "record": record, "links": []}))

    async def delete(self, request: Request) -> Response:
        self.check_token(request)
        key = self.known(request)
        self.revision += 1
        self.happened("delete", key, self.records.pop(key))
        return Response(status_code=204)

    def known(self, request: Request) -> str:
        key: str = request.path_params["key"]
        if key not in self.records:
            raise Refused("record_not_found")
        return key

    # --- the change feed --------------------------------------------------------------------------

    def happened(self, op: str, key: str, record: Record) -> None:
        told = {"op": op, "key": key, "changed_at": NOW, "version": 1}
        number = {"id": f"c{len(self.log)}", "revision": self.revision}
        self.log.append({**told, **number, **self.carried(op, record)})

    def carried(self, op: str, record: Record) -> Record:
        return {"record": record} if op == "upsert" else {}

    async def changes(self, request: Request) -> Response:
        limit = int(request.query_params.get("limit", "100"))
        found, after, more = self.page(self.place(request.query_params.get("since")), limit)
        href = str(request.url.include_query_params(since=after))
        links = [{"rel": "next", "href": href}]
        told = {"numberReturned": len(found), "changes": found, "next": after}
        links = self.linked(links if more else [])
        return self.said(request, self.page_told({**told, "links": links}))

    async def without_key(self, _request: Request) -> Response:
        raise Refused("dataset_has_no_key")

    def place(self, since: str | None) -> tuple[int, str | None]:
        """Where in the log, and behind which key where the records as they are still come."""
        if since is None:
            return len(self.log), ""
        found = re.fullmatch(r"(\d+)(?:~(.+))?", since)
        if found is None:
            raise Refused("invalid_cursor")
        return int(found[1]), found[2]

    def page(self, place: tuple[int, str | None], limit: int) -> tuple[list[Any], str, bool]:
        at, behind = place
        if behind is not None:
            keys = sorted(key for key in self.records if key > behind)[:limit]
            found = [
                {"id": f"p{key}", "op": "upsert", "key": key, "record": self.records[key],
                 "changed_at": NOW, "version": 1, "revision": 0}
                for key in keys
            ]  # fmt: skip
            if len(keys) == limit:
                return found, f"{at}~{keys[-1]}", True
            return found, str(self.end_of_walk(at)), at < len(self.log)
        after = min(at + limit, len(self.log))
        return self.ordered(self.log[at:after]), str(self.behind(at, after)), after < len(self.log)

    def end_of_walk(self, began: int) -> int:
        return began

    def ordered(self, found: list[Any]) -> list[Any]:
        return found

    def behind(self, _at: int, after: int) -> int:
        return after

    def linked(self, links: list[Any]) -> list[Any]:
        return links
