"""Cases of the class `write`: keys of requests, upserts, results, what lasts, and how much is taken."""

from typing import Any, Final
from uuid import uuid4

import orjson

from app.certify.cases.asking import Findings, code_of, expect, records_of, wrong
from app.certify.cases.making import changed, marker, spoilt
from app.certify.cases.writing import (
    Request,
    batch,
    check_taken,
    fresh,
    note_taken,
    put,
    read,
    remove,
    results_of,
    statuses,
    value_in,
    write,
)
from app.certify.client import Exchange, Server
from app.certify.judge import CASES, Wrong
from app.certify.sandbox import is_ours, key_fields, key_of
from app.certify.stage import Record, Stage

_MANY: Final = 12
_MOST: Final = 10_000
_LARGEST: Final = 10_000_000
_MOST_TO_WATCH: Final = 2_000  # records, which come as one page in a reasonable size
_WAYS: Final = {"json": False, "ndjson": True}


def _new_key() -> str:
    """New for each run, whatever its seed: a server keeps the answer to an old one for a day."""
    return f"certify-{uuid4()}"


async def _held(server: Server, stage: Stage, record: Record) -> Wrong | None:
    """The finding where a record is not read as it was written."""
    name = marker(stage)
    said = await read(server, stage, record)
    if said.status == 200 and value_in(said, name) == record[name]:
        return None
    seen = value_in(said, name) if said.status == 200 else code_of(said)
    return wrong(said, f"the record with {name} = {record[name]!r}", seen)


@CASES.of("IDEMP-01", writes=True)
async def a_request_that_comes_again_gets_its_first_answer(
    server: Server, stage: Stage
) -> Findings:
    (record,) = fresh(server, stage)
    later, key = changed(stage, record, 7), _new_key()
    first = await put(server, stage, record, key=key)
    await put(server, stage, later)
    again = await write(server, stage, [record], key=key)
    if (again.status, again.json) != (first.status, first.json):
        yield wrong(again, f"the first answer again: {first.json}", again.json or again.status)
    if (fault := await _held(server, stage, later)) is not None:
        yield fault  # the second request wrote what had been replaced meanwhile


@CASES.of("IDEMP-02", writes=True)
async def a_key_is_of_one_body(server: Server, stage: Stage) -> Findings:
    (record,) = fresh(server, stage)
    key = _new_key()
    await put(server, stage, record, key=key)
    other = await write(server, stage, [changed(stage, record, 7)], key=key)
    for each in expect(other, 422, "idempotency_key_reused"):
        yield each
    if (fault := await _held(server, stage, record)) is not None:
        yield fault


@CASES.of("IDEMP-02", writes=True)
async def who_asks_meanwhile_waits_for_the_first_answer(server: Server, stage: Stage) -> Findings:
    records = fresh(server, stage, 3)
    request = batch(server, stage, records, key=_new_key())
    one, other = await server.together([request, request])
    for said in (one, other):
        note_taken(server, stage, records, said)
        check_taken(server, said, records)
    if one.json != other.json:
        yield wrong(other, f"one answer to both: {one.json}", other.json)


@CASES.of("IDEMP-03", writes=True)
async def a_write_is_an_upsert(server: Server, stage: Stage) -> Findings:
    (record,) = fresh(server, stage)
    later = changed(stage, record, 7)
    new = await put(server, stage, record)
    other = await put(server, stage, later)
    same = await put(server, stage, later)
    for said, status in ((new, "inserted"), (other, "updated"), (same, "unchanged")):
        if statuses(said) != [status]:
            yield wrong(said, f"the status {status}", statuses(said))
    if same.member("revision") != other.member("revision"):
        before = other.member("revision")
        yield wrong(same, f"the revision {before} still: nothing changed", same.member("revision"))
    if (fault := await _held(server, stage, later)) is not None:
        yield fault


@CASES.of("IDEMP-04", writes=True)
async def every_record_has_its_result(server: Server, stage: Stage) -> Findings:
    for form, lines in _WAYS.items():
        good, bad, more = fresh(server, stage, 3)
        bad, name = spoilt(stage, bad)
        if form == "json":  # such records are taken, where none stands beside them that is wrong
            await put(server, stage, good)
            good = changed(stage, good, 7)
        sent = [good, bad, more]
        said = await write(server, stage, sent, lines=lines)
        for fault in _wrong_results(stage, said, sent, name):
            yield fault
        for each in (good, more):
            if (missing := await _held(server, stage, each)) is not None:
                yield missing
        there = await read(server, stage, bad)
        if there.status != 404:
            yield wrong(there, "404 for the record that is wrong", there.status)
    nothing = await write(server, stage, [bad])
    if nothing.status != 200 or statuses(nothing) != ["rejected"]:
        yield wrong(nothing, "200 though all are rejected", code_of(nothing))


def _wrong_results(stage: Stage, said: Exchange, sent: list[Any], name: str) -> list[Wrong]:
    """What is wrong with the results of a batch whose second record is."""
    told, found = results_of(said), []
    keys = [key_of(stage, each) for each in sent]
    if [(each.get("index"), each.get("key")) for each in told] != list(enumerate(keys)):
        found.append(wrong(said, f"a result each, in the order sent: {keys}", told or said.status))
        return found
    taken = [each.get("status") != "rejected" for each in told]
    counts = (said.member("accepted"), said.member("rejected"))
    if taken != [True, False, True] or counts != (2, 1):
        seen = f"statuses {statuses(said)}, accepted {counts[0]}, rejected {counts[1]}"
        found.append(wrong(said, "2 accepted and the second rejected", seen))
        return found
    errors = told[1].get("errors")
    first = errors[0] if isinstance(errors, list) and errors else {}
    if not isinstance(first, dict) or first.get("pointer") != f"/1/{name}":
        found.append(wrong(said, f"an error at /1/{name}", errors))
    elif not first.get("code") or not first.get("detail"):
        found.append(wrong(said, "an error with code and detail", first))
    return found


@CASES.of("IDEMP-05", writes=True)
async def what_was_answered_is_there_at_once_and_lasts(server: Server, stage: Stage) -> Findings:
    records = fresh(server, stage, _MANY)
    look: Request = ("GET", server.url_of(f"{stage.path}?limit={_MOST}"), {}, b"")
    looks = [look] * (2 if len(stage.records) <= _MOST_TO_WATCH else 0)
    said, *pages = await server.together([batch(server, stage, records), *looks])
    note_taken(server, stage, records, said)
    check_taken(server, said, records)
    for page in pages:
        count = len(_keys_in(server, stage, page) & {key_of(stage, each) for each in records})
        if count not in {0, _MANY}:
            yield wrong(page, f"all {_MANY} records of the batch, or none yet", count)
    for each in (records[0], records[_MANY // 2], records[-1]):
        if (fault := await _held(server, stage, each)) is not None:
            yield fault


@CASES.of("IDEMP-05", writes=True)
async def what_was_deleted_is_gone(server: Server, stage: Stage) -> Findings:
    (record,) = fresh(server, stage)
    await put(server, stage, record)
    ended = await remove(server, stage, record)
    if ended.status != 204:
        yield wrong(ended, "204", code_of(ended))
    for gone in (await read(server, stage, record), await remove(server, stage, record)):
        for each in expect(gone, 404, "record_not_found"):
            yield each


def _keys_in(server: Server, stage: Stage, page: Exchange) -> set[str]:
    return {key_of(stage, each) for each in records_of(page) if is_ours(server, stage, each)}


@CASES.of("IDEMP-06", writes=True)
async def ten_thousand_records_are_taken(server: Server, stage: Stage) -> Findings:
    """All but two are wrong and have one key: there is little to remove, whatever becomes of them."""
    good = fresh(server, stage, 2)
    bad, name = spoilt(stage, *fresh(server, stage))
    await put(server, stage, good[0])
    padded = _padded(stage, bad, name)
    count = min(_MOST, _LARGEST // (len(orjson.dumps(padded)) + 1))
    said = await write(server, stage, [*good, *([padded] * (count - len(good)))])
    if said.status != 200 or len(results_of(said)) != count:
        seen = f"{code_of(said)}, {len(results_of(said))} results"
        yield wrong(said, f"200 with {count} results", seen)
        return
    if (fault := await _held(server, stage, good[-1])) is not None:
        yield fault


def _padded(stage: Stage, record: Record, wrong_in: str) -> Record:
    """The record with a text so long that 10,000 of them make 10 MB, and no more."""
    room = _LARGEST // _MOST - len(orjson.dumps(record)) - 1
    texts = [name for name in stage.of_type("text") if name not in {*key_fields(stage), wrong_in}]
    if not texts or room < 1:
        return record
    return {**record, texts[-1]: str(record[texts[-1]]) + "x" * room}
