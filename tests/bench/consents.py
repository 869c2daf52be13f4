"""Benchmark of consent: a page of a million people's records, with and without asking each for it."""

import secrets
import statistics
import time
from collections.abc import Awaitable, Callable
from dataclasses import replace
from typing import Final
from uuid import uuid4

from sqlalchemy.schema import CreateIndex, CreateTable

from app.kit import clock
from app.kit.db import Database
from app.query.fields import Field, FieldType
from app.query.question import Consented, Question
from app.tables.encode import Form, Wording
from app.tables.layout import hosted_table, table_name
from app.tables.read import TableReader
from app.tables.sql import Reading, Source
from tests.bench.figures import Figure, rounds
from tests.bench.stage import Stage

PEOPLE: Final = 1_000_000
FEW: Final = 1_000
_PAGES: Final = 60  # a round; each begins elsewhere, so that none is asked for twice
_FIELDS: Final = (
    Field("no", "c001", "no", FieldType.CODE, key=True),
    Field("who", "c002", "who", FieldType.CODE),
    Field("name", "c003", "name", FieldType.TEXT),
    Field("size", "c004", "size", FieldType.INTEGER),
)
# Those whose hash is a multiple of `every` have consented.
_CONSENTS: Final = """
WITH who AS (
    SELECT c002 AS name, gen_random_uuid() AS id FROM {table} WHERE _row % $2::bigint = 0
), given AS (
    INSERT INTO subject_consent (id, dataset_id, provider_id, consumer_id, purpose, columns,
        text_sha256, method, given_at, given_by, valid_until)
    SELECT id, 'people', 'p', $1, 'health', '{{name,no,size}}', 'x', 'paper',
        now() - interval '1 day', 'bench', now() + interval '1 year' FROM who
)
INSERT INTO subject_consent_name (dataset_id, consumer_id, purpose, name, consent_id, organization_id)
SELECT 'people', $1, 'health', name, id, 'p' FROM who
"""


async def people(database: Database) -> Source:
    """The table of a million, with two consumers: to `all` every second consents, to `few` 1,000."""
    table = hosted_table(table_name(uuid4()), _FIELDS)
    name = f"hosted.{table.name}"
    async with database.engine.begin() as connection:
        await connection.execute(CreateTable(table))
        await connection.exec_driver_sql(
            f"INSERT INTO {name} (_row, _line, c001, c002, c003, c004)"
            " SELECT n, n, lpad(n::text, 8, '0'), left(translate(encode(sha256(n::text::bytea),"
            " 'base64'), '+/=', 'xyz'), 26), '架空 ' || n, n % 1000"
            f" FROM generate_series(1, {PEOPLE}) n"
        )
        for index in table.indexes:
            await connection.execute(CreateIndex(index))
    async with database.pool.acquire() as raw:
        await raw.execute("SET session_replication_role = replica")
        for consumer, every in (("all", 2), ("few", PEOPLE // FEW)):
            await raw.execute(_CONSENTS.format(table=name), consumer, every)
        await raw.execute("SET session_replication_role = DEFAULT")
        await raw.execute("VACUUM ANALYZE")
    return Source(table, _FIELDS)


def asked(consumer: str | None, *, after: int | None = None) -> Question:
    """A page of a hundred, from a place on, of those who consent to the consumer."""
    shown = tuple(field for field in _FIELDS if field.name != "who")
    where = None
    if consumer is not None:
        where = Consented(_FIELDS[1], "people", consumer, "health", ("name", "no", "size"))
    question = Question(shown, where)
    return question if after is None else replace(question, after=(after,))


def page_of(
    reader: TableReader, source: Source, consumer: str | None
) -> Callable[[int], Awaitable[float]]:
    """Pages a second: the median of so many."""
    wording = Wording(Form.RECORD, ("no", "name", "size"))

    async def rate(_at: int) -> float:
        times = []
        for _ in range(_PAGES):
            # The few are spread evenly: the end of the table has no page of a hundred of them.
            after = secrets.randbelow(PEOPLE * 8 // 10)
            reading = Reading(asked(consumer, after=after), 0, (), clock.now())
            began = time.perf_counter()
            rows = await reader.page(source, (), reading, wording)
            times.append(time.perf_counter() - began)
            assert rows.count == 100, rows.count
        return 1 / statistics.median(times)

    return rate


async def consents(stage: Stage) -> list[Figure]:
    """The same page without consent is the limit."""
    source = await people(stage.database)
    reader = TableReader(stage.database.pool)
    figures = []
    for consumer, words in (("all", "half of them consent"), ("few", f"{FEW:,} consent")):
        values, limits = await rounds(
            page_of(reader, source, consumer), page_of(reader, source, None)
        )
        figures.append(
            Figure(
                f"page of 100 among {PEOPLE:,} people of whom {words}", "pages/s", values, limits,
                "the same page, nobody asked", 0.5,
            )
        )  # fmt: skip
    return figures
