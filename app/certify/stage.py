"""What the server has to be judged on: one public dataset, its fields, and all of its records."""

import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Final

from app.certify.client import Exchange, NoAnswer, Server

MOST_RECORDS: Final = 5_000
_A_PAGE: Final = 1_000
_MOST_TRIED: Final = 5  # datasets, for one whose records can be read
_MOST_BYTES: Final = 16 * 1024 * 1024  # of all pages: they are held while the cases ask
Record = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Stage:
    """The dataset that the cases ask about. `records` are all of it, as one read gave them."""

    entry: Mapping[str, Any]
    records: Sequence[Record]
    others: Sequence[str]  # ids of other datasets that are listed
    chance: random.Random

    @property
    def id(self) -> str:
        """The dataset's."""
        return str(self.entry["id"])

    @property
    def path(self) -> str:
        """Of its records."""
        return f"/v1/datasets/{self.id}/records"

    @property
    def fields(self) -> Sequence[Mapping[str, Any]]:
        """As the catalogue tells them."""
        return [each for each in self.entry.get("fields") or [] if isinstance(each, dict)]

    def of_type(self, *types: str) -> list[str]:
        """Names of the fields of these types."""
        return [str(each["name"]) for each in self.fields if each.get("type") in types]

    def values(self, name: str) -> list[Any]:
        """The values of a field that are there, in the order of the records."""
        return [each[name] for each in self.records if each.get(name) is not None]

    def keys(self, records: Sequence[Record] | None = None) -> list[tuple[Any, ...]]:
        """What tells records apart: their keys, or all that they hold."""
        names = [str(each["name"]) for each in self.fields if each.get("key")]
        told = self.records if records is None else records
        return [tuple(str(each.get(n)) for n in names or sorted(each)) for each in told]


async def set_stage(
    server: Server, dataset: str | None, seed: int, profile: Mapping[str, Any] | None = None
) -> Stage:
    """Find what can be judged: the dataset that is named, or the one with most kinds of fields,
    of those that claim the profile where one is named and claimed.

    Raises `NoAnswer` where there is none.
    """
    listed = await server.get("/v1/datasets", {"class": "public", "limit": 100})
    entries = listed.member("datasets")
    entries = [each for each in entries if _is_usable(each)] if isinstance(entries, list) else []
    ids = [str(each["id"]) for each in entries]
    if dataset is not None:
        entries = [each for each in entries if each["id"] == dataset]
    if dataset is not None and not entries:
        alone = await server.get(f"/v1/datasets/{dataset}")
        if not _is_usable(alone.json) or alone.json["id"] != dataset:
            raise NoAnswer(_nothing(alone))
        entries = [alone.json]
    if not entries:
        raise NoAnswer(_nothing(listed))
    entries.sort(key=_kinds, reverse=True)
    if profile is not None:
        entries.sort(key=lambda each: each.get("profile") != profile)
    entry, records = await _readable(server, entries)
    others = [each for each in ids if each != entry["id"]]
    return Stage(entry, records, others, random.Random(seed))  # noqa: S311 - no secret


async def _readable(
    server: Server, entries: Sequence[Mapping[str, Any]]
) -> tuple[Mapping[str, Any], Sequence[Record]]:
    """The first whose records are given: those of one that is only counted are not."""
    for entry in entries[:_MOST_TRIED]:
        try:
            return entry, await all_records(server, str(entry["id"]))
        except NoAnswer as none:
            last = none
            if none.exchange.status != 403:
                break
    raise last


def _is_usable(entry: Any) -> bool:
    return (
        isinstance(entry, dict) and isinstance(entry.get("id"), str)
        and entry.get("version") is not None and isinstance(entry.get("fields"), list)
    )  # fmt: skip


def _kinds(entry: Mapping[str, Any]) -> int:
    return len({str(each.get("type")) for each in entry["fields"] if isinstance(each, dict)})


def _nothing(exchange: Exchange) -> Exchange:
    """That there is nothing to judge, and what was answered instead: most often it is the address."""
    told, media_type = exchange.status, exchange.media_type or "no media type"
    if told != 200:
        why, ja = f"HTTP {told}, {media_type}", f"HTTP {told}、{exchange.media_type or '形式なし'}"
    elif exchange.json is None:
        why, ja = (
            f"{media_type}, which is no JSON",
            f"{exchange.media_type or '形式なし'}、JSONではない",
        )
    else:
        why = "JSON without an entry that has id, version and fields"
        ja = "id、version、fields を備えた項目のないJSON"
    return replace(
        exchange,
        error=f"no public dataset with fields and a version is listed (the answer is {why}); "
        "the address to be named is the one before /v1",
        error_ja=f"項目と版のある公開データセットが見つかりません（応答: {ja}）。"
        "指定するのは /v1 より前のアドレスです",
    )


async def all_records(server: Server, dataset: str) -> list[Record]:
    """All of a dataset, by the pages' own next links as far as they lead. Raises `NoAnswer`."""
    found: list[Record] = []
    page = await server.get(f"/v1/datasets/{dataset}/records", {"limit": _A_PAGE})
    size = 0
    while True:
        size += len(page.body)
        if size > _MOST_BYTES:
            raise NoAnswer(replace(page, error=f"the records are over {_MOST_BYTES} bytes"))
        records = page.member("records")
        if not isinstance(records, list):
            raise NoAnswer(_unreadable(page))
        found += [each for each in records if isinstance(each, dict)]
        href = next_of(page)
        if href is None or not records or len(found) >= MOST_RECORDS:
            return found
        page = await server.get(href)


def _unreadable(exchange: Exchange) -> Exchange:
    return replace(
        exchange,
        error=f"the records cannot be read (HTTP {exchange.status})",
        error_ja=f"レコードを読めません（HTTP {exchange.status}）",
    )


def next_of(page: Exchange) -> str | None:
    """Where the page's body says that the next one is."""
    links = page.member("links")
    for link in links if isinstance(links, list) else []:
        if isinstance(link, dict) and link.get("rel") == "next":
            return str(link.get("href"))
    return None
