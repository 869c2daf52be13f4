"""A CKAN as portals run them: a key, few results at a time, odd addresses, and what else they do."""

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

from tests.connectors.contract import Row
from tests.connectors.sources import Asked, Web, reply, web

KEY = "hidden-key-9"
MOST_ROWS = 3  # that its DataStore gives at a time, whatever is asked for
MOST_PACKAGES = 2


@dataclass(slots=True)
class Portal:
    """Packages by name, and the rows of tables by resource."""

    packages: list[dict[str, Any]] = field(default_factory=list)
    tables: dict[str, list[Row]] = field(default_factory=dict)
    types: dict[str, dict[str, str]] = field(default_factory=dict)
    files: dict[str, bytes] = field(default_factory=dict)
    key: str | None = KEY
    server: Web | None = None

    def add(self, package: str, id_: str, **more: Any) -> dict[str, Any]:
        """A resource of a package; more of one package stand beside each other."""
        made = {"id": id_, "name": "一覧", "format": "CSV", "url": f"/download/{id_}.csv",
                "url_type": "upload", "last_modified": "2026-04-01T00:00:00", "hash": "1", **more}  # fmt: skip
        found = next((each for each in self.packages if each["name"] == package), None)
        if found is None:
            found = {"name": package, "title": f"架空 {package}", "license_id": "CC-BY-4.0",
                     "extras": [{"key": "frequency", "value": "annual"}], "resources": []}  # fmt: skip
            self.packages.append(found)
        found["resources"].append(made)
        return made

    def answer(self, asked: Asked) -> bytes:
        """What it says."""
        if self.key is not None and asked.headers.get("authorization") != self.key:
            return _no("403 Forbidden", "Authorization Error")
        name = asked.path.rpartition("/")[2]
        if not asked.path.startswith("/api/3/action/"):
            body = self.files.get(name)
            return reply(body, kind="text/csv") if body is not None else reply(b"", "404 Not Found")
        answers = {"package_search": self._search, "package_show": self._package,
                   "resource_show": self._resource, "datastore_search": self._table}  # fmt: skip
        if name not in answers:
            return _no("403 Forbidden", "Authorization Error")
        return answers[name](asked.query)

    def _search(self, query: dict[str, str]) -> bytes:
        start = int(query.get("start", "0"))
        shown = self.packages[start : start + min(int(query["rows"]), MOST_PACKAGES)]
        return _yes({"count": len(self.packages), "results": shown})

    def _package(self, query: dict[str, str]) -> bytes:
        found = next((each for each in self.packages if each["name"] == query["id"]), None)
        return _yes(found) if found else _no("404 Not Found", "Not Found Error")

    def _resource(self, query: dict[str, str]) -> bytes:
        its = [each for package in self.packages for each in package["resources"]]
        found = next((each for each in its if each["id"] == query["id"]), None)
        return _yes(found) if found else _no("404 Not Found", "Not Found Error")

    def _table(self, query: dict[str, str]) -> bytes:
        rows = self.tables.get(query["resource_id"])
        if rows is None:
            return _no("404 Not Found", "Not Found Error")
        types = self.types.get(query["resource_id"], {name: "text" for name in rows[0]})
        has_numbers = types.get("_id") is None
        if query.get("sort") == "_id" and not has_numbers:
            return _no("409 Conflict", "Validation Error")
        for name, wanted in json.loads(query.get("filters", "{}")).items():
            if name not in types:
                return _no("409 Conflict", "Validation Error")
            values = wanted if isinstance(wanted, list) else [wanted]
            rows = [row for row in rows if str(row[name]) in map(str, values)]
        limit, start = min(int(query["limit"]), MOST_ROWS), int(query.get("offset", "0"))
        numbered = [{"_id": at, **row} for at, row in enumerate(rows, start=1)]
        fields = [{"id": "_id", "type": "int"}, *({"id": n, "type": t} for n, t in types.items())]
        told = {"fields": fields, "limit": limit, "total": len(rows), "total_was_estimated": False}
        return _yes({**told, "records": numbered[start : start + limit]})


@asynccontextmanager
async def portal(key: str | None = KEY) -> AsyncIterator[tuple[Portal, Web]]:
    """A portal on a free port."""
    made = Portal(key=key)
    async with web(made.answer) as server:
        yield made, server


def _yes(result: Any) -> bytes:
    return reply({"help": "…", "success": True, "result": result})


def _no(status: str, kind: str) -> bytes:
    error = {"__type": kind, "message": "hidden-words-of-the-portal"}
    return reply({"help": "…", "success": False, "error": error}, status)
