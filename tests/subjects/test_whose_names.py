"""Names of people leave as the reader's own: two exports side by side have nothing in common."""

from itertools import combinations

import httpx
import orjson
import pytest
import pytest_asyncio

from app.api.state import Platform
from app.audit.events import Event
from tests.stock import path, stocked
from tests.subjects.register import (
    BY_NAME,
    IKEDA,
    Reader,
    Register,
    ask,
    declare,
    follow,
    pour,
    record,
    register,
    rows_of,
    send,
)
from tests.versioned import steward_of
from tests.world import KENKO, SAKAI, World

FORMS: list[dict[str, str]] = [
    {},
    {"f": "geojson"},
    {"f": "csv"},
    {"f": "csv", "charset": "cp932", "labels": "ja"},
    {"f": "csv", "bom": "true"},
    {"f": "ndjson"},
]
FILES: list[dict[str, str]] = [{"f": "parquet"}, {"f": "xlsx"}]  # made by a process of their own


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def beside(platform: Platform, client: httpx.AsyncClient) -> Register:
    """A register that is only read."""
    return await register(World(platform, client))


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def by_name(platform: Platform, client: httpx.AsyncClient) -> Register:
    """One whose key names the person."""
    return await register(World(platform, client), specs=BY_NAME)


async def theirs(world: World, names: list[str], organization: str) -> list[str]:
    found = await world.platform.linker.translate(names, of=KENKO, for_=organization)
    return [found[name] for name in names]


@pytest.mark.parametrize(
    ("which", "form"),
    [*(("beside", form) for form in [*FORMS, *FILES]), *(("by_name", form) for form in FORMS)],
    ids=str,
)
async def test_no_two_organisations_exports_can_be_joined_by_the_people_in_them(
    world: World, beside: Register, by_name: Register, form: dict[str, str], which: str
) -> None:
    """Joined on every column that speaks of the person, and on what ids are made of."""
    made = beside if which == "beside" else by_name
    readers = (made.own, made.sakai, made.ikeda)
    fields = "person" if form.get("f") != "geojson" else "person,lat,lon"

    told = [
        rows_of(await ask(world, who, path(made.dataset), fields=fields, **form)) for who in readers
    ]
    values = [
        {str(value) for row in rows for name, value in row.items() if name not in ("lat", "lon")}
        for rows in told
    ]

    if which == "beside" and form.get("f") == "geojson":
        values = [each - {"N-1", "N-2", "N-3"} for each in values]  # their key is agreed to
    assert [len({row["person"] for row in rows}) for rows in told] == [3, 3, 3]
    assert [values[0] & set(made.names)] == [set(made.names)]
    assert all(one.isdisjoint(other) for one, other in combinations(values, 2))
    own = [row["person"] for row in told[0]]
    assert [row["person"] for row in told[1]] == await theirs(world, own, SAKAI)
    assert [row["person"] for row in told[2]] == await theirs(world, own, IKEDA)


async def test_what_is_no_name_of_the_publishers_leaves_as_null(world: World) -> None:
    names = await world.platform.linker.new_people(KENKO, 1)
    (foreign,) = await world.platform.linker.new_people(SAKAI, 1)
    odd = ["田中太郎", 'a"b', "a,b\nc", "\\N", "z" * 60, foreign]
    rows = [record(at, name) for at, name in enumerate([*odd, None, *names], start=1)]
    made = await register(world, 0, rows=rows)

    for form in [*FORMS, FILES[0]]:
        asked = {"fields": "no,person,lat,lon", "sort": "no", **form}
        answer = await ask(world, made.ikeda, path(made.dataset), **asked)

        told = [row["person"] or None for row in rows_of(answer)]
        assert told == [None] * 7 + await theirs(world, names, IKEDA), form
        assert not [each for each in ("田中", foreign, "zzzz") if each.encode() in answer.content]


async def test_whatever_is_stored_is_taken_for_no_name(world: World) -> None:
    """What stands in the bytes before a name is made for each answer, and shown to nobody."""
    forged = ["0" * 32 + "6162z", "z", '"', "00z" * 20]
    rows = [{**record(at, None), "note": note} for at, note in enumerate(forged, start=1)]
    made = await register(world, 0, rows=rows)

    for form in FORMS:
        asked = {"fields": "note,person,lat,lon", "sort": "no", **form}
        answer = await ask(world, made.ikeda, path(made.dataset), **asked)

        assert [row["note"] for row in rows_of(answer)] == forged, form


async def test_a_long_stream_tells_each_name_across_the_edges_of_its_pieces(world: World) -> None:
    names = await world.platform.linker.new_people(KENKO, 400)
    made = await register(world, 0, rows=[record(1, None)])
    await pour(world, made.dataset, names, 12_000)

    answer = await ask(world, made.sakai, path(made.dataset), f="csv")
    told = rows_of(answer)[1:]

    found = await theirs(world, names, SAKAI)
    assert len(told) == 12_000
    assert all(row["person"] == found[int(row["no"][2:]) % 400] for row in told)


@pytest.mark.parametrize(
    "query",
    [
        {"person": "{0}"},
        {"person": "{0},{1}"},
        {"filter": "person = '{0}'"},
        {"filter": "person IN ('{0}', '{1}') AND NOT (no = 'N-2')"},
        {"filter": "NOT (person = '{1}' OR person = '{2}')"},
    ],
    ids=str,
)
async def test_ones_own_names_find_whom_they_name(
    world: World, beside: Register, query: dict[str, str]
) -> None:
    made = beside
    mine = await theirs(world, made.names, SAKAI)
    asked = {name: value.format(*mine) for name, value in query.items()}

    by_mine = rows_of(await ask(world, made.sakai, path(made.dataset), **asked))
    by_theirs = rows_of(await ask(world, made.ikeda, path(made.dataset), **asked))

    assert mine[0] in [row["person"] for row in by_mine]
    if "NOT (person" not in str(query):  # of nobody: everybody else
        assert by_theirs == []


async def test_the_publishers_own_name_finds_nothing_for_another(
    world: World, beside: Register
) -> None:
    made = beside

    found = await ask(world, made.sakai, path(made.dataset), person=made.names[0])
    own = await ask(world, made.own, path(made.dataset), person=made.names[0])

    assert rows_of(found) == []
    assert len(rows_of(own)) == 1


@pytest.mark.parametrize(
    "query",
    [
        {"sort": "person"},
        {"sort": "-person"},
        {"filter": "person > 'a'"},
        {"filter": "person <> 'a'"},
        {"filter": "person LIKE 'a%'"},
        {"filter": "person BETWEEN 'a' AND 'b'"},
        {"filter": "CASEI(person) = CASEI('a')"},
        {"filter": "person = note"},
        {"filter": "'a' < person"},
        {"filter": "NOT (no = 'x' OR person IS NULL)"},
    ],
    ids=str,
)
async def test_other_conditions_on_a_name_are_refused_in_the_log(
    world: World, beside: Register, query: dict[str, str]
) -> None:
    made = beside

    answer = await ask(world, made.sakai, path(made.dataset), **query)
    own = await ask(world, made.own, path(made.dataset), **query)

    assert (answer.status_code, answer.json()["code"]) == (403, "subject_by_name_only")
    assert own.status_code == 200, own.text
    assert (await world.log(Event.RECORDS_REFUSED))[-1]["reason"] == "subject_by_name_only"


async def test_words_are_not_looked_for_in_names(world: World, beside: Register) -> None:
    made = beside

    by_name = await ask(world, made.sakai, path(made.dataset), q=made.names[0][:10])
    by_note = await ask(world, made.sakai, path(made.dataset), q="n1")
    own = await ask(world, made.own, path(made.dataset), q="n1")

    assert rows_of(by_name) == []
    assert [row["no"] for row in rows_of(by_note)] == [row["no"] for row in rows_of(own)] == ["N-1"]


async def test_people_are_counted_and_no_name_is_told(world: World) -> None:
    made = await register(world)
    where = f"/v1/datasets/{made.dataset}"
    rules = {"suppression": {"k": 3, "dimensions": ["person", "note"]}}
    declared = await world.client.patch(where, json=rules, headers=await steward_of(world))
    world.platform.live.changed("dataset", made.dataset)
    asked = [{"group_by": "person"}, {"metrics": "min(person)"}, {"metrics": "distinct(person)"}]

    answers = [await ask(world, made.sakai, f"{where}/aggregate", **query) for query in asked]
    counted = await ask(world, made.sakai, f"{where}/aggregate", metrics="count")
    own = await ask(world, made.own, f"{where}/aggregate", metrics="distinct(person),count")

    assert declared.status_code == 200, declared.text
    assert [(each.status_code, each.json()["code"]) for each in answers] == [
        (403, "subject_by_name_only"), (403, "subject_by_name_only"), (403, "not_a_dimension"),
    ]  # fmt: skip
    assert counted.json()["groups"][0]["values"] == {"count": 3}
    assert own.json()["groups"][0]["values"] == {"distinct(person)": 3, "count": 3}
    assert not [name for name in made.names for each in (*answers, counted) if name in each.text]


async def test_no_record_is_looked_up_by_a_name_that_is_changed(world: World) -> None:
    made = await register(world)
    other = await stocked(world, [{"no": made.names[0], "name": "x", "size": 1}])
    joins = [
        {"name": each, "dataset": other, "here": each, "there": "no"} for each in ("no", "person")
    ]
    pool = world.platform.database.pool
    joined = orjson.dumps(joins).decode()
    await pool.execute("UPDATE dataset SET joins = $2::jsonb WHERE id = $1", made.dataset, joined)
    world.platform.live.changed("dataset", made.dataset)

    answers = [
        await ask(world, who, path(made.dataset), expand=each)
        for who in (made.sakai, made.own)
        for each in ("no", "person")
    ]

    assert [each.status_code for each in answers] == [200, 403, 200, 200]
    assert answers[1].json()["code"] == "subject_by_name_only"
    assert (await world.log(Event.RECORDS_REFUSED))[-1]["reason"] == "subject_by_name_only"


async def test_a_record_and_a_feature_are_found_by_ones_own_name_alone(
    world: World, by_name: Register
) -> None:
    made = by_name
    mine = await theirs(world, made.names, SAKAI)
    doors = (path(made.dataset, "{},2026"), f"/ogc/collections/{made.dataset}/items/{{}},2026")

    for door in doors:
        answers = [
            await ask(world, who, door.format(name))
            for who in (made.sakai, made.ikeda)
            for name in (mine[0], made.names[0])
        ]

        assert [each.status_code for each in answers] == [200, 404, 404, 404]
        assert made.names[0] not in answers[0].text and mine[0] in answers[0].text


async def test_a_feature_without_a_key_that_is_seen_has_no_number_that_all_are_given(
    world: World,
) -> None:
    made = await register(world, columns=["person", "lat", "lon"])

    answer = await ask(world, made.sakai, path(made.dataset), f="geojson")
    items = f"/ogc/collections/{made.dataset}/items"
    one = await ask(world, made.sakai, f"{items}/1")
    read = await ask(world, made.sakai, items, f="html")

    assert (read.status_code, read.text.count('<th scope="row"></th>')) == (200, 3)
    assert "id" not in answer.json()["features"][0]
    assert one.status_code == 404


async def test_a_name_that_was_not_agreed_cannot_be_named(world: World) -> None:
    made = await register(world, columns=["no", "note"])

    plain = await ask(world, made.sakai, path(made.dataset))
    named = await ask(world, made.sakai, path(made.dataset), person="x")

    assert rows_of(plain)[0].keys() == {"no", "note"}
    assert (named.status_code, named.json()["code"]) == (403, "column_not_visible")
    assert (await world.log(Event.RECORDS_READ))[-1]["subjects"] == 3


async def test_a_cursor_tells_nothing_and_serves_nobody_else(
    world: World, beside: Register
) -> None:
    made = beside
    where = path(made.dataset)

    first = await ask(world, made.sakai, where, limit="1", sort="-note")
    link = next(each["href"] for each in first.json()["links"] if each["rel"] == "next")
    next_page = await follow(world, made.sakai, link)
    cursor = link.split("cursor=")[1]
    elsewhere = await ask(world, made.ikeda, where, limit="1", sort="-note", cursor=cursor)
    own = await ask(world, made.own, where, limit="1")
    plain = next(each["href"] for each in own.json()["links"] if each["rel"] == "next")
    forged = await ask(world, made.sakai, where, limit="1", cursor=plain.split("cursor=")[1])

    assert [row["no"] for row in rows_of(next_page)] == ["N-2"]
    assert cursor[:8] not in plain
    assert [(a.status_code, a.json()["code"]) for a in (elsewhere, forged)] == [
        (400, "invalid_cursor")
    ] * 2


async def test_an_answer_of_one_organisation_is_no_other_ones(
    world: World, beside: Register
) -> None:
    made = beside
    where = path(made.dataset)

    async def tagged(who: Reader, tag: str | None = None) -> tuple[int, str, str]:
        more = {"If-None-Match": tag} if tag else {}
        answer = await world.client.get(
            where,
            params={"purpose": "disaster-response"},
            headers={**await who.headers(where), **more},
        )
        return answer.status_code, answer.headers["etag"], answer.text

    mine, others, own = [await tagged(who) for who in (made.sakai, made.ikeda, made.own)]
    again = await tagged(made.sakai, mine[1])
    wrongly = await tagged(made.ikeda, mine[1])

    assert len({mine[1], others[1], own[1]}) == len({mine[2], others[2], own[2]}) == 3
    assert again[0] == 304
    assert (wrongly[0], wrongly[2]) == (200, others[2])


async def test_after_a_new_key_newer_names_go_out_and_older_ones_still_find(world: World) -> None:
    made = await register(world)
    older = await theirs(world, made.names, SAKAI)
    await world.platform.linker.rotate(SAKAI)
    await world.platform.linker.rotate(KENKO)
    (of_new,) = await world.platform.linker.new_people(KENKO, 1)
    await send(world, made.own, made.dataset, [record(4, of_new)])

    rows = rows_of(await ask(world, made.sakai, path(made.dataset)))
    told = {row["no"]: row["person"] for row in rows}
    by_old = await ask(world, made.sakai, path(made.dataset), person=older[1])
    by_new = await ask(world, made.sakai, path(made.dataset), person=told["N-2"])

    assert set(told.values()).isdisjoint(older) and len(set(told.values())) == 4
    assert [row["no"] for row in rows_of(by_old) + rows_of(by_new)] == ["N-2", "N-2"]


async def test_once_the_agreement_is_withdrawn_no_name_goes_out(world: World) -> None:
    made = await register(world)
    await ask(world, made.sakai, path(made.dataset))

    ended = await world.client.post(
        f"/v1/agreements/{made.agreements[SAKAI]}/revoke",
        json={"reason": "試験"},
        headers=made.steward,
    )
    after = await ask(world, made.sakai, path(made.dataset))
    others = await ask(world, made.ikeda, path(made.dataset))

    assert ended.status_code == 200
    assert (after.status_code, after.json()["code"]) == (403, "agreement_revoked")
    assert others.status_code == 200


async def test_what_another_organisation_writes_is_stored_by_the_publishers_names(
    world: World,
) -> None:
    made = await register(world)
    mine = await theirs(world, made.names, SAKAI)
    rows = [record(7, mine[0]), record(8, made.names[0]), {**record(9, None), "person": 5}]

    sent = await send(world, made.sakai, made.dataset, rows)
    stored = rows_of(await ask(world, made.own, path(made.dataset), no="N-7,N-8,N-9"))

    results = sent.json()["results"]
    assert [each["status"] for each in results] == ["inserted", "rejected", "rejected"], sent.text
    assert results[1]["errors"][0]["code"] == "unknown_subject"
    assert [row["person"] for row in stored] == [made.names[0]]


async def test_a_record_whose_key_names_the_person_is_written_by_its_publisher_alone(
    world: World,
) -> None:
    made = await register(world, specs=BY_NAME)
    where = path(made.dataset, f"{made.names[0]},2026")

    sent = await send(world, made.sakai, made.dataset, [record(1, made.names[0], BY_NAME)])
    ended = await world.client.delete(where, headers=await made.sakai.headers(where, "DELETE"))

    assert [(a.status_code, a.json()["code"]) for a in (sent, ended)] == [
        (403, "subject_is_key")
    ] * 2
    assert [e["reason"] for e in await world.log(Event.RECORDS_REFUSED)] == ["subject_is_key"] * 2


async def test_a_version_without_the_field_is_its_publishers_alone(world: World) -> None:
    made = await register(world)
    await declare(world, made.dataset, "other")

    answers = [await ask(world, who, path(made.dataset)) for who in (made.sakai, made.own)]

    assert [each.status_code for each in answers] == [403, 200]
    assert answers[0].json()["code"] == "subject_not_told"
    assert (await world.log(Event.RECORDS_READ))[-1]["subjects_all"] is True


async def test_without_a_subject_declared_nothing_is_changed(world: World) -> None:
    made = await register(world, rows=[record(1, "as it stands")])
    await declare(world, made.dataset, None)

    answer = await ask(world, made.sakai, path(made.dataset), sort="person")

    assert rows_of(answer)[0]["person"] == "as it stands"
    assert not {"subjects", "subjects_all"} & (await world.log(Event.RECORDS_READ))[-1].keys()
