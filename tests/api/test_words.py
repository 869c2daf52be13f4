"""`q` on records: what is found and where it is never looked for (QUERY-09)."""

import secrets
from typing import Any

import httpx
import pytest

from app.catalogue import lexicon
from app.models.parties import Role
from app.tasks.words import keep_words
from tests.stock import PURPOSE, Spec, agreed, path, put, stocked
from tests.world import KENKO, SAKAI, World

SHOWN: tuple[Spec, ...] = (
    ("no", "code", {"key": True}),
    ("name", "text"),
    ("kana", "kana"),
    ("note", "text", {"visibility": "restricted"}),
    ("month", "month"),
)
ROWS: list[dict[str, Any]] = [
    {"no": "1", "name": "髙橋ﾋﾞﾙ　避難所", "kana": "タカハシビル", "note": "ないしょ"},
    {"no": "2", "name": "障がい者センタ－", "month": "2024-05"},
    {"no": "3", "name": "100%＿廣場", "note": "高橋の電話"},
    {"no": "4", "name": "ひなんばしょ"},
]


async def got(client: httpx.AsyncClient, dataset: str, q: str, **asked: str) -> list[str]:
    response = await client.get(path(dataset), params={"q": q, **asked})
    assert response.status_code == 200, response.text
    return [record["no"] for record in response.json()["records"]]


@pytest.mark.parametrize(
    ("q", "found"),
    [
        ("高橋", ["1"]), ("ﾀｶﾊｼ", ["1"]), ("びる 避", ["1"]), ("障害者", ["2"]), ("障碍者せんたー", ["2"]),
        ("広", ["3"]), ("%", ["3"]), ("_", ["3"]), ("100% 広場", ["3"]), ("所", ["1"]), ("避難 広場", []),
        ("2024-05", []), ("避難場所", []), ("ビル避難所", []), ("1", ["1", "3"]), ("\\", []), ("(高橋|広)", []),
    ],
)  # fmt: skip
async def test_words_are_found_in_any_spelling_and_are_no_patterns(
    client: httpx.AsyncClient, world: World, q: str, found: list[str]
) -> None:
    dataset = await stocked(world, ROWS, SHOWN)

    assert await got(client, dataset, q) == found


async def test_a_hidden_column_is_neither_found_nor_named(
    client: httpx.AsyncClient, world: World
) -> None:
    dataset = await stocked(world, ROWS, SHOWN)

    assert await got(client, dataset, "ないしょ") == []
    assert await got(client, dataset, "電話") == []


async def test_an_agreement_on_some_columns_searches_those(
    client: httpx.AsyncClient, world: World
) -> None:
    dataset = await stocked(world, ROWS, SHOWN, data_class="restricted")
    consumer = await world.party(SAKAI, Role.DEVELOPER)
    await agreed(world, dataset, consumer, columns=["no", "kana"])
    headers = await world.token(consumer, f"dataset:{dataset}:read")

    async def asked(q: str) -> int:
        answer = await client.get(
            path(dataset), params={"q": q, "purpose": PURPOSE, "count": "true"}, headers=headers
        )
        assert answer.status_code == 200, answer.text
        return int(answer.json()["numberMatched"])

    assert [await asked("たかはし"), await asked("高橋"), await asked("電話")] == [1, 0, 0]


async def test_readings_that_are_known_find_what_is_read_so_and_name_another_answer(
    client: httpx.AsyncClient, world: World
) -> None:
    dataset = await stocked(world, ROWS, SHOWN)
    before = await client.get(path(dataset), params={"q": "ひなんばしょ", "limit": "1"})
    async with world.platform.database.writing() as session:
        await lexicon.keep(session, [("避難所", "ひなんばしょ"), ("避難", "ひなん")])

    after = await client.get(path(dataset), params={"q": "ひなんばしょ"})

    assert [record["no"] for record in before.json()["records"]] == ["4"]
    assert [record["no"] for record in after.json()["records"]] == ["1", "4"]
    assert before.headers["etag"] != after.headers["etag"]
    assert await got(client, dataset, "避難") == ["1", "4"]


@pytest.mark.parametrize("form", ["json", "csv", "ndjson"])
async def test_words_are_a_condition_like_any_other(
    client: httpx.AsyncClient, world: World, form: str
) -> None:
    dataset = await stocked(world, [{"no": f"{at:02}", "name": "公園"} for at in range(12)])
    await put(world, dataset, [{"no": "99", "name": "学校"}])

    answer = await client.get(path(dataset), params={"q": "公園", "f": form, "filter": "no > '05'"})
    page = await client.get(path(dataset), params={"q": "公園", "limit": "5", "count": "true"})
    following = page.json()["links"][1]["href"]
    other = await client.get(following.replace("q=", "q=x"))

    assert answer.text.count("公園") == 6
    assert page.json()["numberMatched"] == 12
    assert len((await client.get(following)).json()["records"]) == 5
    assert (other.status_code, other.json()["code"]) == (400, "invalid_cursor")


@pytest.mark.parametrize(
    ("q", "code"),
    [
        ("", "no_words"), (" 　、", "no_words"), ("あ" * 201, "too_long"),
        (" ".join("あいうえおかきくけこさ"), "too_many_words"),
    ],
)  # fmt: skip
async def test_what_is_no_search_is_refused(
    client: httpx.AsyncClient, world: World, q: str, code: str
) -> None:
    dataset = await stocked(world, ROWS, SHOWN)

    answer = await client.get(path(dataset), params={"q": q})

    assert answer.status_code == 400
    assert answer.json()["errors"][0]["code"] == code


async def test_without_a_field_of_text_to_see_there_is_nothing_to_search(
    client: httpx.AsyncClient, world: World
) -> None:
    specs: tuple[Spec, ...] = (
        ("size", "integer", {"key": True}),
        ("note", "text", {"visibility": "restricted"}),
    )
    dataset = await stocked(world, [{"size": 1, "note": "秘"}], specs)

    answer = await client.get(path(dataset), params={"q": "秘"})

    assert answer.status_code == 400
    assert answer.json()["errors"][0]["code"] == "no_text_fields"


async def test_a_large_version_is_indexed_by_the_worker_and_answers_as_before(
    client: httpx.AsyncClient, world: World, worker: None
) -> None:
    party = await world.party(KENKO, Role.STEWARD)
    headers = await world.token(party, "catalogue:write")
    dataset = f"d-{secrets.token_hex(5)}"
    body = {
        "id": dataset, "title_ja": "試験", "steward": {"name": "試験"}, "data_class": "public",
        "license": "CC-BY-4.0", "update_frequency": "irregular",
        "fields": [
            {"name": "no", "label": "番号", "type": "code", "key": True},
            {"name": "name", "label": "名称", "type": "text"},
            {"name": "owner", "label": "氏名", "type": "text", "visibility": "restricted"},
        ],
    }  # fmt: skip
    assert (await client.post("/v1/datasets", json=body, headers=headers)).status_code == 201
    lines = [f"{at},架空第{at}避難所,秘密{at}" for at in range(2_500)]
    run = await world.load(headers, dataset, "\n".join(["番号,名称,氏名", *lines]).encode())
    await world.publish(headers, run)
    asked = ("第77避", "避難所", "第2499", "無い語", "秘密77")
    before = [await got(client, dataset, q, limit="10000") for q in asked]

    pool = world.platform.database.pool
    unended = "UPDATE run SET state = $2 WHERE id = $1::uuid"
    await pool.execute(unended, run["id"], "queued")
    await keep_words(world.platform.database)
    waiting = await pool.fetchval("SELECT words FROM version WHERE dataset_id = $1", dataset)
    await pool.execute(unended, run["id"], run["state"])
    await keep_words(world.platform.database)

    assert waiting is None  # a load goes first
    noted = await world.platform.database.pool.fetchval(
        "SELECT words FROM version WHERE dataset_id = $1", dataset
    )
    assert '"c003"' not in noted and '"c002"' in noted
    assert [await got(client, dataset, f"{q} ", limit="10000") for q in asked] == before
    assert [len(found) for found in before] == [1, 2_500, 1, 0, 0]
    words = await world.platform.database.pool.fetch("SELECT word FROM reading")
    assert "秘密" not in {row["word"] for row in words}
