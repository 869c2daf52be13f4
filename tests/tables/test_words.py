"""Words in hosted rows: SQL agrees with the folding, and an index changes no answer."""

import re
import secrets
import unicodedata
from datetime import UTC, datetime

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from app.api.state import Platform
from app.kit.db import Database
from app.query.fields import Field, FieldType
from app.query.folding import fold, pattern_of, table
from app.query.grams import grams
from app.query.question import Question, Words
from app.tables import load as loading
from app.tables import word_index
from app.tables.encode import Form, Wording
from app.tables.layout import hosted_table
from app.tables.read import TableReader
from app.tables.sql import Reading, Source

_CONCERNED = st.sampled_from(
    [chr(at) for at in table()]
    + list("あいうがぱアガパｱｶﾞﾊﾟ漢字国國ーｰ-－.*[]\\^$|(){}+?~_%'\"㈱㍻ﬁÅ゙゚゛ 1１①")
)
_TEXTS = st.text(_CONCERNED, max_size=12)
FIELDS = (
    Field("name", "c001", "名称", FieldType.TEXT),
    Field("note", "c002", "備考", FieldType.TEXT),
)


@given(text=_TEXTS, at=st.integers(0, 11), size=st.integers(1, 4), other=_TEXTS)
@settings(max_examples=400)
def test_a_folded_term_is_in_a_folded_text_where_its_pattern_is_in_the_text(
    text: str, at: int, size: int, other: str
) -> None:
    for term in (fold(text[at : at + size]), fold(other)):
        found = re.search(pattern_of(term), unicodedata.normalize("NFKC", text))

        assert (found is not None) == (term in fold(text))


async def test_postgresql_reads_patterns_as_the_folding_means_them(platform: Platform) -> None:
    pairs: list[tuple[str, str, bool]] = []

    @given(text=_TEXTS, at=st.integers(0, 11), size=st.integers(1, 4), other=_TEXTS)
    @settings(max_examples=400, database=None)
    def collect(text: str, at: int, size: int, other: str) -> None:
        for term in (fold(text[at : at + size]), fold(other)):
            pairs.append((text, pattern_of(term), term in fold(text)))

    collect()
    wrong = await platform.database.pool.fetch(
        "SELECT text, pattern, expected FROM unnest($1::text[], $2::text[], $3::bool[])"
        " AS t (text, pattern, expected)"
        " WHERE (pg_catalog.normalize(text, 'NFKC') COLLATE \"C\" ~ pattern) <> expected",
        *(list(column) for column in zip(*pairs, strict=True)),
    )

    assert wrong == []
    assert {expected for *_, expected in pairs} == {True, False}


async def test_postgresql_folds_every_character_of_the_table(platform: Platform) -> None:
    sources = [(chr(at), plain) for at, plain in table().items() if plain is not None]

    wrong = await platform.database.pool.fetch(
        "SELECT text FROM unnest($1::text[], $2::text[]) AS t (text, pattern)"
        " WHERE NOT pg_catalog.normalize(text, 'NFKC') COLLATE \"C\" ~ pattern",
        [source for source, _ in sources],
        [pattern_of(fold(source)) for source, _ in sources],
    )

    assert wrong == []


@given(texts=st.lists(_TEXTS, min_size=1, max_size=5))
def test_the_grams_of_many_texts_are_those_of_each(texts: list[str]) -> None:
    folded = [fold(text).replace("\x00", "") for text in texts]

    numbers, at = word_index._grams_at(folded)

    found = {(int(a), int(n)) for n, a in zip(numbers.view("int32"), at, strict=True)}
    assert found == {(i, gram) for i, text in enumerate(folded) for gram in grams(text)}


async def _table(database: Database, rows: list[tuple[str | None, str | None, int]]) -> Source:
    made = hosted_table(f"v_{secrets.token_hex(16)}", FIELDS)
    async with database.pool.acquire() as connection:
        await loading.create(connection, made)
        await connection.copy_records_to_table(
            made.name,
            schema_name="hosted",
            records=[(at, *row) for at, row in enumerate(rows, 1)],
            columns=["_row", "c001", "c002", "_since"],
        )
        await loading.finish(connection, made)
        words = await word_index.make(connection, made, FIELDS)
    return Source(made, FIELDS, words)


async def _found(database: Database, source: Source, *terms: tuple[str, ...]) -> bytes:
    question = Question(FIELDS[:1], where=Words(FIELDS, terms), limit=1_000)
    reading = Reading(question, 5, (), datetime.now(UTC))
    rows = await TableReader(database.pool).page(
        source, (), reading, Wording(Form.RECORD, ("name",))
    )
    return rows.body


@pytest.fixture(scope="module")
def rows() -> list[tuple[str | None, str | None, int]]:
    """A common word in every row, a rare one in some, and rows that were written later."""
    some = [(f"第{at}避難所", "ﾋﾅﾝ" if at % 700 == 0 else None, 0) for at in range(3_000)]
    return [*some, ("髙橋ﾋﾞﾙ", "廣場", 0), (None, None, 0), ("後の髙橋ビル", None, 3), ("x", "y", 9)]


@pytest.mark.parametrize(
    "terms",
    [
        (("ひなん",),), (("高橋びる",),), (("高", "ない"), ("広",)), (("避",),), (("避難所",),),
        (("第70",), ("ひなん",)), (("ない",),), (("所ひ",),), (("1", "広場"),), (("x",),),
    ],
)  # fmt: skip
async def test_an_index_changes_no_answer(
    platform: Platform,
    rows: list[tuple[str | None, str | None, int]],
    terms: tuple[tuple[str, ...], ...],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(word_index, "_RARE", 0)  # as of many rows, several grams are put together
    source = await _table(platform.database, rows)
    without = Source(source.table, source.fields)

    indexed = await _found(platform.database, source, *terms)

    assert source.words is not None
    assert indexed == await _found(platform.database, without, *terms)
    expected = [
        name
        for name, note, since in rows
        if since <= 5
        and all(
            any(s in fold(text) for s in term for text in (name, note) if text) for term in terms
        )
    ]
    assert indexed.count(b'"name"') == len(expected[:1_000])
