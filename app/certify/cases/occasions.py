"""Cases of rules that need an occasion: others' writes, whole files, an end, a way round, small groups.

Where the server gives none, that is said. Nothing is written but what the sandbox was lent for.
"""

import re
from collections import Counter
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Any, Final

import orjson

from app.certify.cases.asking import Findings, code_of, one_page, records_of, wrong
from app.certify.cases.making import changed
from app.certify.cases.writing import fresh, put, remove
from app.certify.client import LARGEST, Exchange, Server
from app.certify.judge import CASES, NotShown, Wrong, not_unless
from app.certify.stage import Record, Stage, next_of

_MOST_WALKED: Final = 1_000
_PAGES: Final = 20
_BY_DEFAULT: Final = 100
_MOST_LOOKED_AT: Final = 20  # datasets, for one that withholds small groups
_LEAST_K: Final = 2  # nothing is withheld from one
_DEPRECATED: Final = re.compile(r"@-?\d{1,12}")  # RFC 9745, 2.1: a date of structured fields
_VIA: Final = tuple(f"https://platform-{number}.example.jp" for number in range(1, 6))


# --- PAGE-03: pages while others write ------------------------------------------------------------


@CASES.of("PAGE-03", writes=True)
async def pages_lose_and_double_nothing_while_others_write(
    server: Server, stage: Stage
) -> Findings:
    not_unless(len(stage.records) <= _MOST_WALKED, "there are too many records to walk through",
               "レコードが多すぎて読み通せません")  # fmt: skip
    size = max(5, len(stage.records) // _PAGES)
    ours = fresh(server, stage, 3 * size)
    await put(server, stage, *ours)
    touched: set[tuple[Any, ...]] = set()
    found: Counter[tuple[Any, ...]] = Counter()
    page = await one_page(server, stage, limit=size)
    while True:
        keys = stage.keys(records_of(page))
        found.update(keys)
        href = next_of(page)
        if href is None or found.total() > 3 * (len(stage.records) + len(ours)):
            break
        await _disturb(server, stage, ours, keys, touched)
        page = await server.get(href)
    there = {*stage.keys(), *stage.keys(ours)} - touched
    lost = sorted(key for key in there if not found[key])
    doubled = sorted(key for key in there if found[key] > 1)
    if lost or doubled:
        yield wrong(page, "every record that is there throughout exactly once, while others write",
                    f"lost {len(lost)}: {lost[:3]}, doubled {len(doubled)}: {doubled[:3]}")  # fmt: skip


async def _disturb(
    server: Server, stage: Stage, ours: Sequence[Record], keys: Sequence[tuple[Any, ...]],
    touched: set[tuple[Any, ...]],
) -> None:  # fmt: skip
    """Between two pages: one of those that were read goes, one of them changes, a new one comes."""
    (added,) = fresh(server, stage)
    await put(server, stage, added)
    touched.update(stage.keys([added]))
    read = [each for each in ours if stage.keys([each])[0] in set(keys) - touched]
    if read:
        await remove(server, stage, read[0])
        touched.update(stage.keys(read[:1]))
    for each in read[1:2]:
        await put(server, stage, changed(stage, each, len(touched)))


# --- PAGE-07: whole files -------------------------------------------------------------------------


@CASES.of("PAGE-07")
async def files_without_limit_are_whole(server: Server, stage: Stage) -> Findings:
    size = sum(len(orjson.dumps(each)) for each in stage.records)
    not_unless(len(stage.records) > _BY_DEFAULT and size < LARGEST // 2,
               "more than 100 records, and not too many to be held, would show it",
               "100件を超え、多すぎないレコードが必要です")  # fmt: skip
    for form in ("ndjson", "csv"):
        file = await server.get(stage.path, {"f": form})
        if file.status == 406:
            continue
        lines = [line for line in file.body.splitlines() if line]
        count = len(lines) - (form == "csv")
        # A line break in a cell makes more lines of a record, and never fewer.
        if file.status != 200 or count < len(stage.records):
            told = code_of(file) if file.status != 200 else count
            yield wrong(file, f"all {len(stage.records)} records without limit", told)


# --- ERROR-08: the end of a version ---------------------------------------------------------------


@CASES.of("ERROR-08")
async def an_end_is_announced_and_then_kept(server: Server, stage: Stage) -> Findings:
    page = await one_page(server, stage, limit=1)
    deprecated, sunset = page.headers.get("deprecation"), page.headers.get("sunset")
    not_unless(deprecated or sunset, "no end of this interface is announced",
               "この版の終わりは予告されていません")  # fmt: skip
    if not (deprecated and sunset):
        missing = "Sunset" if deprecated else "Deprecation"
        yield wrong(page, "Deprecation and Sunset together", f"no {missing}")
        return
    end = _http_date(sunset)
    if not _DEPRECATED.fullmatch(deprecated.strip()) or end is None:
        yield wrong(page, "Deprecation such as @1775001600 (RFC 9745) and Sunset as an HTTP date",
                    f"Deprecation: {deprecated}, Sunset: {sunset}")  # fmt: skip
        return
    if end.timestamp() < int(deprecated.strip()[1:]):
        yield wrong(page, "a Sunset that is not before the Deprecation", f"{sunset}, {deprecated}")
    now = _http_date(page.headers.get("date")) or datetime.now(UTC)
    if end < now and page.status < 400:
        yield wrong(page, f"410 with code interface_ended after {sunset}", page.status)


def _http_date(text: str | None) -> datetime | None:
    try:
        found = parsedate_to_datetime(text) if text else None
    except ValueError:
        return None
    return found.replace(tzinfo=UTC) if found is not None and found.tzinfo is None else found


# --- ERROR-09: through platforms ------------------------------------------------------------------


@CASES.of("ERROR-09")
async def a_way_is_open_to_four_platforms_and_no_more(server: Server, stage: Stage) -> Findings:
    alone = await one_page(server, stage, limit=1)
    near = await _through(server, stage, _VIA[:1])
    if near.status != alone.status:
        yield wrong(near, f"{alone.status}, as without Linkage-Via", code_of(near))
    far = await _through(server, stage, _VIA)
    if code_of(far) == "508 federation_loop":
        return
    if far.status != alone.status:
        yield wrong(far, "508 with code federation_loop", code_of(far))
        return
    not_unless(near.status != alone.status, "it answers by itself, and asks no other platform",
               "自ら答え、ほかの基盤には問い合わせません")  # fmt: skip


async def _through(server: Server, stage: Stage, platforms: Sequence[str]) -> Exchange:
    return await server.get(stage.path, {"limit": 1}, Linkage_Via=", ".join(platforms))


# --- QUERY-13: small groups -----------------------------------------------------------------------


@CASES.of("QUERY-13")
async def small_groups_do_not_follow_from_the_rest(server: Server, stage: Stage) -> Findings:
    path, names = await _only_counted(server, stage)
    whole = await server.get(path)
    dimensions = 0
    for name in names:
        told = await server.get(path, {"group_by": name, "limit": 10_000})
        if code_of(told) == "403 not_a_dimension":
            refused = await server.get(path, {"filter": f"{name} IS NULL"})
            if code_of(refused) != "403 not_a_dimension":
                yield wrong(refused, "403 with code not_a_dimension", code_of(refused))
            continue
        dimensions += told.status == 200
        for fault in _leaks(whole, told):
            yield fault
    not_unless(dimensions, "no field of it can be grouped by", "集計できる区分がありません")


async def _only_counted(server: Server, stage: Stage) -> tuple[str, list[str]]:
    """A dataset whose records are refused as only counted: where its sums are, and its fields."""
    for other in stage.others[:_MOST_LOOKED_AT]:
        records = await server.get(f"/v1/datasets/{other}/records", {"limit": 1})
        if code_of(records) == "403 aggregate_only":
            fields = (await server.get(f"/v1/datasets/{other}")).member("fields")
            names = [str(each.get("name")) for each in fields or [] if isinstance(each, dict)]
            return f"/v1/datasets/{other}/aggregate", names
    raise NotShown("no dataset that withholds small groups is listed",
                   "人数の少ない区分を伏せるデータセットがありません")  # fmt: skip


def _leaks(whole: Exchange, told: Exchange) -> list[Wrong]:
    groups, (total,) = _groups(told), [*_groups(whole), {}][:1]
    counts = [_count(each) for each in groups]
    masked = [each.get("suppressed") is True for each in groups]
    if [count is None for count in counts] != masked:
        return [
            wrong(told, "values that are null where suppressed is true, and only there", groups)
        ]
    if _count(total) is None:
        return []
    rest = _count(total) - sum(count for count in counts if count is not None)
    k = _threshold(told)
    if 0 < rest < k:
        return [wrong(told, "groups of which none follows from the total less the others",
                      f"{_count(total)} in all, and {rest} of them withheld")]  # fmt: skip
    small = [count for count in counts if count and count < k]
    return [wrong(told, f"no sum over fewer than {k} people", small)] if small else []


def _groups(told: Exchange) -> list[Mapping[str, Any]]:
    groups = told.member("groups")
    return [each for each in groups if isinstance(each, dict)] if isinstance(groups, list) else []


def _count(group: Mapping[str, Any]) -> Any:
    values = group.get("values")
    count = values.get("count") if isinstance(values, dict) else None
    return count if isinstance(count, int) else None


def _threshold(told: Exchange) -> int:
    """How many people make a group that is told, as the server says; else the least that it can be."""
    meta = told.member("meta")
    rules = meta.get("suppression") if isinstance(meta, dict) else None
    k = rules.get("k") if isinstance(rules, dict) else None
    return k if isinstance(k, int) else _LEAST_K
