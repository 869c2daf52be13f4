"""What every kind of connector keeps to. Derive a class from `Contract`, and give it a `stage`.

Whoever writes a kind elsewhere takes this file along: it asks of a kind what the platform relies on.
"""

import asyncio
import csv
import io
import json
import tempfile
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from pydantic import SecretStr, ValidationError

from app.connectors.errors import CannotAnswer, SourceError, SourceUnreachable
from app.connectors.frame import AnyConnector, Known, Shape, joined, parted
from app.formats.opening import open_tables
from app.formats.stored import StoredFile
from app.formats.told import Told
from app.query.fields import Field, FieldType
from app.query.question import Compare, Question

Row = dict[str, Any]


@dataclass(slots=True)
class Stage:
    """A source that works, and how it is made to change and to go away."""

    connector: AnyConnector
    selection: Shape
    rows: list[Row]  # that it has; every value a text
    add: Callable[[Row], Awaitable[None]]  # one more row, of the same members
    go_away: Callable[[], Awaitable[None]]
    open_now: Callable[[], int]  # connections and files that it lends now
    secret: str | None = None  # that stands in the settings
    tables: list[str] = field(default_factory=list)  # what it can feed, where it tells


async def rows_of(
    connector: AnyConnector, selection: Shape, known: Known | None = None
) -> list[Row] | None:
    """All rows of a harvest as texts; None where nothing has changed."""
    async with connector.harvest(selection, known) as got:
        if got is None:
            return None
        body = b"".join([piece async for piece in got.pieces])
        name, told = got.name or "", got.told
    return _read(body, name) if not told else _as_told(body, told)


def _read(body: bytes, name: str) -> list[Row]:
    text = body.decode()
    if name.endswith(".csv"):
        return list(csv.DictReader(io.StringIO(text)))
    return [{k: str(v) for k, v in json.loads(line).items()} for line in text.splitlines()]


def _as_told(body: bytes, told: Mapping[str, Any]) -> list[Row]:
    """The rows as the take-in reads them, where the bytes alone do not say how."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "upload"
        path.write_bytes(body)
        (table,) = open_tables(StoredFile(path, Path(folder)), Told.from_json(told))
        labels = table.head.labels
        rows = [row for batch in table.batches() for row in batch.frame.rows()]
    return [
        {name: (cell or "").strip() for name, cell in zip(labels, row, strict=True)} for row in rows
    ]


async def known_of(stage: Stage) -> Known | None:
    """What the source gives to prove later that nothing has changed."""
    async with stage.connector.harvest(stage.selection) as got:
        assert got is not None
        async for _ in got.pieces:
            pass
        return Known(json.loads(json.dumps(got.validators))) if got.validators else None


async def settled(stage: Stage) -> int:
    """How much is open, once what was closed had a moment to be so."""
    for _ in range(100):
        if stage.open_now() == 0:
            return 0
        await asyncio.sleep(0.02)
    return stage.open_now()


class Contract:
    """The contract. Each test has a stage of its own."""

    async def test_settings_and_selection_refuse_what_they_do_not_know(self, stage: Stage) -> None:
        kind = type(stage.connector)
        for shape, given in (
            (kind.settings_shape, stage.connector.settings),
            (kind.selection_shape, stage.selection),
        ):
            told = given.model_dump(by_alias=True, exclude_unset=True)
            with pytest.raises(ValidationError):
                shape.model_validate({**told, "no_such_member": 1})

    async def test_a_secret_is_marked_parted_and_never_shown(self, stage: Stage) -> None:
        settings = stage.connector.settings
        schema = json.dumps(type(stage.connector).settings_shape.model_json_schema())

        shown, secrets = parted(settings)

        if stage.secret is not None:
            assert '"writeOnly": true' in schema
            assert stage.secret in json.dumps(secrets)
            assert stage.secret not in json.dumps(shown) + repr(settings) + repr(stage.connector)
        again = type(settings).model_validate(joined(shown, secrets))
        assert _plain(again) == _plain(settings)

    async def test_a_source_that_works_passes_the_check(self, stage: Stage) -> None:
        await stage.connector.check()
        await stage.connector.check(stage.selection)

        assert await settled(stage) == 0

    async def test_a_harvest_is_every_row(self, stage: Stage) -> None:
        got = await rows_of(stage.connector, stage.selection)

        assert got == stage.rows
        assert await settled(stage) == 0

    async def test_what_has_not_changed_is_not_sent_again_or_is_the_same(
        self, stage: Stage
    ) -> None:
        known = await known_of(stage)

        again = await rows_of(stage.connector, stage.selection, known)

        can_tell = type(stage.connector).capabilities.notices_changes and known is not None
        assert again is None if can_tell else again == stage.rows

    async def test_a_row_that_came_is_harvested(self, stage: Stage) -> None:
        known = await known_of(stage)
        new = {name: "7" for name in stage.rows[0]}
        await stage.add(new)

        got = await rows_of(stage.connector, stage.selection, known)

        assert got is not None
        assert new in got
        if not type(stage.connector).capabilities.sends_changes:
            assert got == [*stage.rows, new]

    async def test_a_harvest_that_is_left_half_read_leaves_nothing_open(self, stage: Stage) -> None:
        before = asyncio.all_tasks()

        async with stage.connector.harvest(stage.selection) as got:
            assert got is not None
            async for _ in got.pieces:
                break

        assert await settled(stage) == 0
        assert {task for task in asyncio.all_tasks() - before if not _is_of_server(task)} == set()

    async def test_a_harvest_that_is_cancelled_leaves_nothing_open(self, stage: Stage) -> None:
        entered = asyncio.Event()

        async def harvest() -> None:
            async with stage.connector.harvest(stage.selection):
                entered.set()
                await asyncio.sleep(60)

        task = asyncio.create_task(harvest())
        await asyncio.wait_for(entered.wait(), 10)
        task.cancel()
        await asyncio.wait({task})

        assert await settled(stage) == 0

    async def test_what_fails_at_the_reader_is_not_told_of_the_source(self, stage: Stage) -> None:
        with pytest.raises(OSError, match="no space left"):
            async with stage.connector.harvest(stage.selection):
                raise OSError("no space left")

        assert await settled(stage) == 0

    async def test_a_source_that_is_gone_is_told_in_both_languages(self, stage: Stage) -> None:
        await stage.go_away()

        for ask in (
            stage.connector.check(stage.selection),
            rows_of(stage.connector, stage.selection),
        ):
            with pytest.raises(SourceError) as refused:
                await ask

            assert isinstance(refused.value, SourceUnreachable) or refused.value.at == "missing"
            assert refused.value.words("ja") != refused.value.words("en")
            assert stage.secret is None or stage.secret not in refused.value.words("en")

    async def test_a_question_is_answered_as_far_as_the_kind_says_or_not_at_all(
        self, stage: Stage
    ) -> None:
        names = list(stage.rows[0])
        fields = tuple(Field(name=n, column=n, label=n, type=FieldType.TEXT) for n in names)
        wanted = stage.rows[0][names[0]]
        asked = Question(fields, where=Compare(fields[0], "=", wanted), limit=None)

        part = stage.connector.part(stage.selection, asked)
        try:
            async with stage.connector.fetch(stage.selection, part) as got:
                assert got is not None
                rows = [row async for batch in got.batches for row in batch]
        except CannotAnswer as refused:
            assert not type(stage.connector).capabilities.answers
            assert refused.words("ja") != refused.words("en")
        else:
            texts = [{name: str(row[name]) for name in names} for row in rows]
            left = stage.rows if part.where is None else [stage.rows[0]]
            assert [row for row in texts if row in left] == left
        assert await settled(stage) == 0

    async def test_a_kind_that_hears_nothing_says_so(self, stage: Stage) -> None:
        if type(stage.connector).capabilities.streams:
            return
        with pytest.raises(CannotAnswer):
            stage.connector.listen(stage.selection)

    async def test_what_it_finds_can_be_selected(self, stage: Stage) -> None:
        found = await stage.connector.discover()

        assert {each.name for each in found} >= set(stage.tables)
        for each in found:
            type(stage.connector).selection_shape.model_validate(each.selection)


def _plain(shape: Shape) -> Any:
    """A shape with its secrets open, to be compared."""

    def opened(value: Any) -> Any:
        if isinstance(value, SecretStr):
            return value.get_secret_value()
        return {k: opened(v) for k, v in value.items()} if isinstance(value, dict) else value

    return opened(shape.model_dump())


def _is_of_server(task: "asyncio.Task[Any]") -> bool:
    """Whether a task is the other side's: a test's server answers in the same loop."""
    return "speak" in repr(task.get_coro())
