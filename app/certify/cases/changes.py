"""Cases of the class `changes`: what the feed says of what the judge did itself."""

from collections.abc import Mapping, Sequence
from typing import Any, Final
from urllib.parse import urlencode

from app.certify.cases.asking import Findings, apart, code_of, expect, wrong
from app.certify.cases.making import changed, marker
from app.certify.cases.writing import (
    Change,
    Request,
    batch,
    changes,
    changes_in,
    check_taken,
    follow,
    fresh,
    ledger_of,
    note_taken,
    ours_of,
    page_of_changes,
    position,
    put,
    read,
    remove,
)
from app.certify.client import Exchange, Server
from app.certify.judge import CASES, Amiss, NotShown, not_unless
from app.certify.sandbox import key_of
from app.certify.stage import Record, Stage, next_of

_WRITERS: Final = 4
_EACH: Final = 2
State = tuple[str, Any]  # what was done, and the marker's value then


def _states(stage: Stage, told: Sequence[Change], record: Record) -> list[State]:
    """What the changes say of one record, each change once, in their order."""
    name, key = marker(stage), key_of(stage, record)
    found: dict[str, State] = {}
    for each in told:
        if each.get("key") == key:
            held, op = each.get("record"), str(each.get("op"))
            value = held.get(name) if isinstance(held, dict) and op != "delete" else None
            found.setdefault(str(each.get("id")), (op, value))
    return list(found.values())


def _upsert(stage: Stage, record: Record) -> State:
    return ("upsert", record[marker(stage)])


_DELETE: Final[State] = ("delete", None)


@CASES.of("CHANGE-01", writes=True)
async def every_change_is_given(server: Server, stage: Stage) -> Findings:
    """By pages of two, so that each next is used while more is waiting."""
    one, two, three = fresh(server, stage, 3)
    since = await position(server, stage)
    later = changed(stage, one, 7)
    await put(server, stage, one, two, three)
    await put(server, stage, later)
    await remove(server, stage, two)
    told, _ = await follow(server, stage, since, limit=2)
    for record, wanted in (
        (one, [_upsert(stage, one), _upsert(stage, later)]),
        (two, [_upsert(stage, two), _DELETE]),
        (three, [_upsert(stage, three)]),
    ):
        given = _states(stage, told, record)
        missing = [each for each in wanted if each not in given]
        if missing:
            yield wrong(server.last, f"the changes {wanted} of {key_of(stage, record)}", given)


@CASES.of("CHANGE-01", writes=True)
async def nothing_is_missed_while_others_write(server: Server, stage: Stage) -> Findings:
    since = await position(server, stage)
    batches = [fresh(server, stage, _EACH) for _ in range(_WRITERS)]
    path = f"/v1/datasets/{stage.id}/changes?{urlencode({'since': since})}"
    look: Request = ("GET", server.url_of(path), {}, b"")
    writing = [batch(server, stage, each) for each in batches]
    said = await server.together([*writing[:2], look, *writing[2:], look])
    for written, answer in zip(batches, [*said[:2], *said[3:5]], strict=True):
        note_taken(server, stage, written, answer)
        check_taken(server, answer, written)
    wanted = {key_of(stage, each) for records in batches for each in records}
    for page in (said[2], said[5]):
        after = page.member("next")
        not_unless(page.status == 200 and after, "the feed cannot be read", "フィードを読めません")
        more, _ = await follow(server, stage, str(after))
        missing = wanted - {each.get("key") for each in (*changes_in(page), *more)}
        if missing:
            yield wrong(
                page, f"the changes of {sorted(wanted)[:3]} …", f"without {sorted(missing)}"
            )
            return


@CASES.of("CHANGE-02", writes=True)
async def changes_of_one_record_are_in_order(server: Server, stage: Stage) -> Findings:
    (record,) = fresh(server, stage)
    since = await position(server, stage)
    later = changed(stage, record, 7)
    await put(server, stage, record)
    await put(server, stage, later)
    await remove(server, stage, record)
    await put(server, stage, record)
    told, _ = await follow(server, stage, since)
    first, second = _upsert(stage, record), _upsert(stage, later)
    wanted = [first, second, _DELETE, first]
    if _states(stage, told, record) != wanted:
        expected = f"the changes of {key_of(stage, record)} in this order: {wanted}"
        yield wrong(server.last, expected, _states(stage, told, record))


@CASES.of("CHANGE-03", writes=True)
async def a_change_is_whole_and_keeps_its_id(server: Server, stage: Stage) -> Findings:
    stays, goes = fresh(server, stage, 2)
    since = await position(server, stage)
    await put(server, stage, stays, goes)
    await remove(server, stage, goes)
    told, _ = await follow(server, stage, since)
    page = server.last
    again, _ = await follow(server, stage, since)
    ids = [each.get("id") for each in told]
    if ids != [each.get("id") for each in again] or len(set(ids)) != len(ids) or None in ids:
        yield wrong(page, f"an id each, the same again: {ids}", [each.get("id") for each in again])
    held = (await read(server, stage, stays)).member("record")
    for each in told:
        record = each.get("record")
        if each.get("op") == "delete" and "record" in each:
            yield wrong(page, "a delete with the key only", record)
        if each.get("key") == key_of(stage, stays) and record != held:
            became, given = apart(held, record)
            yield wrong(page, f"all of {key_of(stage, stays)} as it became: {became}", given)


@CASES.of("CHANGE-04", writes=True)
async def next_is_always_there(server: Server, stage: Stage) -> Findings:
    since = await position(server, stage)
    quiet = await changes(server, stage, since=since)
    if quiet.status != 200 or not quiet.member("next"):
        yield wrong(quiet, "next though nothing changed", quiet.member("next") or quiet.status)
        return
    if next_of(quiet) is not None:
        yield wrong(quiet, "no next link where nothing is waiting", next_of(quiet))
    await put(server, stage, *fresh(server, stage, 2))
    full = await changes(server, stage, since=quiet.member("next"), limit=1)
    href = next_of(full)
    if href is None:
        yield wrong(full, "a link with rel=next while more is waiting", full.member("links"))
        return
    more = await server.get(href)
    if more.status != 200 or not more.member("next"):
        yield wrong(more, "a next link that works as it is", code_of(more))


@CASES.of("CHANGE-05", writes=True)
async def without_since_all_come_and_changes_follow(server: Server, stage: Stage) -> Findings:
    """What was given already is changed before the rest is read."""
    records = fresh(server, stage, 4)
    await put(server, stage, *records)
    first = await _begun(server, stage, records)
    given = {each.get("key") for each in changes_in(first)}
    turns, goes = [each for each in records if key_of(stage, each) in given][:2]
    later, (comes,) = changed(stage, turns, 7), fresh(server, stage)
    await put(server, stage, later, comes)
    await remove(server, stage, goes)
    told, _ = await follow(server, stage, str(first.member("next")))
    if any(each.get("op") != "upsert" for each in changes_in(first)):
        yield wrong(first, "upserts of what is there", changes_in(first)[:3])
    copy = _copy_of([*changes_in(first), *told])
    missing = [key for each in stage.records if (key := key_of(stage, each)) not in copy]
    if missing:
        yield wrong(first, f"all {len(stage.records)} records", f"without {missing[:5]}")
    name = marker(stage)
    for each in (later, comes, *(each for each in records if each not in (turns, goes))):
        held = copy.get(key_of(stage, each))
        if held is None or held.get(name) != each[name]:
            seen = "no such record" if held is None else f"{name} = {held.get(name)!r}"
            yield wrong(server.last, f"{key_of(stage, each)} with {name} = {each[name]!r}", seen)
    if key_of(stage, goes) in copy:
        yield wrong(server.last, f"the delete of {key_of(stage, goes)}", "none")


async def _begun(server: Server, stage: Stage, records: Sequence[Record]) -> Exchange:
    """The first page of the feed, so long that it ends in the midst of these records."""
    told, _ = await follow(server, stage, None)
    keys = {key_of(stage, each) for each in records}
    places = [at for at, each in enumerate(told) if each.get("key") in keys]
    if len(places) < len(records):
        raise Amiss(wrong(server.last, f"upserts of {sorted(keys)}", f"{len(places)} of them"))
    page = await page_of_changes(server, stage, limit=places[1] + 1)
    seen = sum(each.get("key") in keys for each in changes_in(page))
    not_unless(seen > 1, "the feed begins in no lasting order", "最初の読取りの順序が定まりません")
    return page


def _copy_of(told: Sequence[Change]) -> dict[str, Mapping[str, Any]]:
    """What a follower of the feed holds in the end."""
    copy: dict[str, Mapping[str, Any]] = {}
    for each in told:
        key, record = str(each.get("key")), each.get("record")
        copy.pop(key, None)
        if each.get("op") == "upsert" and isinstance(record, dict):
            copy[key] = record
    return copy


@CASES.of("CHANGE-06", writes=True)
async def what_is_no_position_is_refused(server: Server, stage: Stage) -> Findings:
    told = await changes(server, stage, since="no-position-of-yours")
    if code_of(told) not in {"400 invalid_cursor", "410 cursor_expired"}:
        yield wrong(told, "400 with code invalid_cursor, or 410 with cursor_expired", code_of(told))


@CASES.of("CHANGE-06", writes=True)
async def an_old_position_is_followed(server: Server, stage: Stage) -> Findings:
    await put(server, stage, *fresh(server, stage))
    now = await position(server, stage)
    began = ledger_of(server, stage).began
    not_unless(began != now, "nothing was written before", "先に書き込んだものがありません")
    page = await changes(server, stage, since=began)
    if page.status != 200 or not page.member("changes"):
        yield wrong(page, "the changes since the run began", code_of(page))


@CASES.of("CHANGE-07", writes=True)
async def only_what_differs_is_given(server: Server, stage: Stage) -> Findings:
    same, other = fresh(server, stage, 2)
    await put(server, stage, same, other)
    since = await position(server, stage)
    await put(server, stage, same, changed(stage, other, 7))
    told, _ = await follow(server, stage, since)
    keys = {each.get("key") for each in ours_of(server, told)}
    if keys != {key_of(stage, other)}:
        yield wrong(
            server.last, f"the change of {key_of(stage, other)} alone", sorted(map(str, keys))
        )


@CASES.of("CHANGE-08", writes=True)
async def without_a_key_there_is_no_feed(server: Server, stage: Stage) -> Findings:
    listed = await server.get("/v1/datasets", {"class": "public", "limit": 100})
    entries = listed.member("datasets")
    keyless = [
        each["id"] for each in (entries if isinstance(entries, list) else [])
        if isinstance(each, dict) and isinstance(each.get("id"), str)
        and each.get("version") is not None and isinstance(each.get("fields"), list)
        and not any(field.get("key") for field in each["fields"] if isinstance(field, dict))
    ]  # fmt: skip
    if not keyless:
        raise NotShown("every public dataset has a key", "キーのない公開データセットがありません")
    told = await server.get(f"/v1/datasets/{keyless[0]}/changes")
    for each in expect(told, 409, "dataset_has_no_key"):
        yield each
