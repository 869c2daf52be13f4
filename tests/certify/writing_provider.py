"""The reference provider with the classes `write` and `changes`: what it holds changes, and is followed.

Written from the published standard, as the provider is. A fault is one method said otherwise.
"""

import asyncio
import json
import re
from collections.abc import Awaitable, Callable
from typing import Any, Final

import polars as pl
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from app.certify.cases.values import is_code
from tests.certify.mutants import BASE, DATASET, provider

TOKEN: Final = "lent-to-the-judge"
KEYLESS: Final = "sandbox-lines"
_AS_LOADED: Final = provider.TABLE
_NUMBERS: Final = ("integer", "decimal", "latitude", "longitude")
_STATUSES: Final = {
    "invalid_cursor": 400, "token_required": 401, "dataset_not_found": 404, "record_not_found": 404,
    "dataset_has_no_key": 409, "cursor_expired": 410, "body_too_large": 413,
    "idempotency_key_reused": 422,
}  # fmt: skip
Record = dict[str, Any]


def refusal(code: str, ja: str, en: str) -> HTTPException:
    """What the provider's own handler makes a problem of."""
    return HTTPException(_STATUSES[code], (code, ja, en))  # type: ignore[arg-type]


class Writing:
    """One provider with records of its own."""

    most = 10_000

    def __init__(self) -> None:
        self.records: dict[str, Record] = {each["no"]: each for each in provider.RECORDS}
        self.revision = 0
        self.walks: dict[str, Any] = {}
        self.log: list[dict[str, Any]] = []
        self.answers: dict[str | None, tuple[bytes, dict[str, Any]]] = {}
        dataset = "/v1/datasets/{dataset}"
        own = [
            Route("/v1/health", self.health),
            Route("/v1/datasets", self.listed),
            Route(f"{dataset}/records", self.write, methods=["POST"]),
            Route(f"{dataset}/records", self.over(provider.records)),
            Route(f"{dataset}/aggregate", self.over(provider.aggregate)),
            Route(dataset + "/records/{key}", self.delete, methods=["DELETE"]),
            Route(dataset + "/records/{key}", self.one),
            Route(f"{dataset}/changes", self.changes),
        ]
        refusals: Any = dict.fromkeys((HTTPException, Exception), provider.refused)
        self.app = Starlette(routes=[*own, *provider.ROUTES], exception_handlers=refusals)

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        await self.app(scope, receive, send)

    def over(self, read: Callable[[Request], Awaitable[Response]]) -> Any:
        """What the provider reads, of the records as they were when the walk began."""

        async def asked(request: Request) -> Response:
            self.check_dataset(request)
            provider.TABLE = self.table_of(request.query_params.get("cursor"))
            try:
                answer = await read(request)
            finally:
                table, provider.TABLE = provider.TABLE, _AS_LOADED
            if found := re.search(r"cursor=([0-9a-f.]+)", answer.headers.get("link", "")):
                self.walks[found[1]] = table
            return answer

        return asked

    def table_of(self, cursor: str | None) -> Any:
        """The records that a page is of."""
        now = pl.DataFrame([*self.records.values()], schema=provider.COLUMNS)
        return self.walks.get(cursor or "", now)

    async def health(self, request: Request) -> Response:
        told = json.loads((await provider.health(request)).body)
        told["conformance"] += ["write", "changes"]
        return self.said(request, told)

    async def listed(self, request: Request) -> Response:
        told = json.loads((await provider.catalogue(request)).body)
        lines = {**provider.DATASET, "id": KEYLESS}
        lines["fields"] = [each for each in lines["fields"] if not each["key"]]
        told["datasets"].append(lines)
        return self.said(request, {**told, "numberReturned": len(told["datasets"])})

    def said(self, request: Request, body: Any) -> Response:
        answer: Response = provider.answer(request, body)
        return answer

    # --- writing ----------------------------------------------------------------------------------

    async def write(self, request: Request) -> Response:
        self.check_token(request)
        self.check_dataset(request)
        body, key = await request.body(), request.headers.get("idempotency-key")
        await asyncio.sleep(0)  # as who asks a database does: others come in between
        told = self.recall(key, body)
        if told is None:
            told = self.upserted(self.parsed(request, body))
            self.remember(key, body, told)
        return self.said(request, told)

    def check_dataset(self, request: Request) -> None:
        if request.path_params["dataset"] != provider.DATASET["id"]:
            raise refusal("dataset_not_found", "ありません。", "There is no such dataset.")

    def check_token(self, request: Request) -> None:
        if request.headers.get("authorization") != f"Bearer {TOKEN}":
            raise refusal("token_required", "トークンが要ります。", "A token is needed.")

    def parsed(self, request: Request, body: bytes) -> list[Record]:
        if "ndjson" in request.headers["content-type"]:
            records = [json.loads(line) for line in self.lines(body)]
        else:
            records = json.loads(body)
        if len(records) > self.most:
            raise refusal("body_too_large", "大きすぎます。", "It is too large.")
        return records

    def lines(self, body: bytes) -> list[bytes]:
        return [line for line in body.splitlines() if line]

    def recall(self, key: str | None, body: bytes) -> dict[str, Any] | None:
        if key is None or key not in self.answers:
            return None
        first, told = self.answers[key]
        if first != body:
            raise refusal("idempotency_key_reused", "別の内容です。", "It is of another body.")
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
            "dataset": provider.DATASET["id"], "version": 1, "revision": self.revision,
            "accepted": len(taken), "rejected": len(records) - len(taken), "results": results,
        }  # fmt: skip

    def status_of(self, record: Record) -> str:
        before = self.records.get(record["no"])
        return "inserted" if before is None else "unchanged" if before == record else "updated"

    def wrong_in(self, record: Record) -> list[str]:
        return [
            each["name"]
            for each in provider.DATASET["fields"]
            if not self.fits(each, record[each["name"]])
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
        told = {"dataset": provider.DATASET["id"], "version": 1, "record": record, "links": []}
        return self.said(request, {**told, "meta": provider.told({})["meta"]})

    async def delete(self, request: Request) -> Response:
        self.check_token(request)
        key = self.known(request)
        self.revision += 1
        self.happened("delete", key, self.records.pop(key))
        return Response(status_code=204)

    def known(self, request: Request) -> str:
        self.check_dataset(request)
        key: str = request.path_params["key"]
        if key not in self.records:
            raise refusal("record_not_found", "ありません。", "There is no such record.")
        return key

    # --- the change feed --------------------------------------------------------------------------

    def happened(self, op: str, key: str, record: Record) -> None:
        told = {"op": op, "key": key, "changed_at": provider.STARTED.isoformat(), "version": 1}
        number = {"id": f"c{len(self.log)}", "revision": self.revision}
        self.log.append({**told, **number, **self.carried(op, record)})

    def carried(self, op: str, record: Record) -> Record:
        return {"record": record} if op == "upsert" else {}

    async def changes(self, request: Request) -> Response:
        if request.path_params["dataset"] == KEYLESS:
            return self.without_key(request)
        self.check_dataset(request)
        limit = provider.parameters(request, {"since", "limit"}).get("limit", 100)
        found, after, more = self.page(self.place(request.query_params.get("since")), limit)
        links = [{"rel": "next", "href": f"{BASE}{DATASET}/changes?since={after}&limit={limit}"}]
        told = {
            "dataset": provider.DATASET["id"], "numberReturned": len(found), "changes": found,
            "next": after, "links": self.linked(links if more else []), "meta": provider.told({})["meta"],
        }  # fmt: skip
        return self.said(request, told)

    def without_key(self, _request: Request) -> Response:
        raise refusal("dataset_has_no_key", "キーがありません。", "There is no key.")

    def place(self, since: str | None) -> tuple[int, str | None]:
        """Where in the log, and behind which key where the records as they are still come."""
        if since is None:
            return len(self.log), ""
        found = re.fullmatch(r"(\d+)(?:~(.+))?", since)
        if found is None:
            raise refusal("invalid_cursor", "位置ではありません。", "This is no position.")
        return int(found[1]), found[2]

    def page(self, place: tuple[int, str | None], limit: int) -> tuple[list[Any], str, bool]:
        at, behind = place
        if behind is not None:
            keys = sorted(key for key in self.records if key > behind)[:limit]
            found = [
                {"id": f"p{key}", "op": "upsert", "key": key, "record": self.records[key],
                 "changed_at": provider.STARTED.isoformat(), "version": 1, "revision": 0}
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
