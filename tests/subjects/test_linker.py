"""Names of people: stable for each organisation, and no bridge between two."""

import re

import asyncpg
import pytest

from app.api.state import Platform
from app.subjects.linker import Linker

OSAKA, SAKAI, IKEDA = "271004", "271403", "272043"


@pytest.fixture
def linker(platform: Platform) -> Linker:
    return platform.linker


async def test_two_organisations_names_for_the_same_people_have_nothing_in_common(
    linker: Linker,
) -> None:
    ours = await linker.new_people(IKEDA, 1_000)

    theirs = await linker.translate(ours, of=IKEDA, for_=SAKAI)

    assert all(re.fullmatch("[a-z2-7]{26}", name) for name in [*ours, *theirs.values()])
    assert len(set(ours)) == len(set(theirs.values())) == 1_000
    assert set(ours).isdisjoint(theirs.values())
    assert theirs == await linker.translate(ours, of=IKEDA, for_=SAKAI)
    back = await linker.translate(list(theirs.values()), of=SAKAI, for_=IKEDA)
    assert {theirs[name]: name for name in ours} == back


async def test_a_name_says_nothing_at_an_organisation_that_does_not_have_it(
    linker: Linker,
) -> None:
    (ours,) = await linker.new_people(IKEDA, 1)

    assert await linker.translate([ours, "nobody"], of=OSAKA, for_=SAKAI) == {}
    assert await linker.person(SAKAI, ours) is None


async def test_after_a_new_key_new_names_are_given_and_the_old_still_name_the_same(
    linker: Linker,
) -> None:
    (ours,) = await linker.new_people(IKEDA, 1)
    before = (await linker.translate([ours], of=IKEDA, for_=SAKAI))[ours]

    number = await linker.rotate(SAKAI)
    after = (await linker.translate([ours], of=IKEDA, for_=SAKAI))[ours]

    assert number > 1 and after != before
    person = await linker.person(SAKAI, before)
    assert person is not None and person == await linker.person(SAKAI, after)
    assert (await linker.names(person))[SAKAI] == {before, after}


async def test_who_signs_in_is_the_same_person_each_time_and_elsewhere_another(
    linker: Linker,
) -> None:
    first = await linker.signed_in("https://id.example.jp", "hanako")

    assert await linker.signed_in("https://id.example.jp", "hanako") == first
    assert await linker.signed_in("https://id.example.jp", "taro") != first
    assert await linker.signed_in("https://id.example.jphana", "ko") != first
    assert first.value.hex() not in repr(first) and repr(first.value) not in repr(first)


async def test_who_is_forgotten_is_named_by_none_of_their_names(linker: Linker) -> None:
    (ours,) = await linker.new_people(IKEDA, 1)
    theirs = (await linker.translate([ours], of=IKEDA, for_=SAKAI))[ours]
    person = await linker.person(IKEDA, ours)
    assert person is not None

    await linker.forget(person)

    assert await linker.person(SAKAI, theirs) is None
    assert await linker.translate([ours], of=IKEDA, for_=SAKAI) == {}


async def test_neither_role_reads_the_tables_of_the_other(
    linker: Linker, platform: Platform
) -> None:
    """Ours is the superuser of the embedded server, who may read all: so by a role that is none."""
    await linker.new_people(IKEDA, 1)
    async with platform.database.pool.acquire() as connection, connection.transaction():
        await connection.execute(
            "CREATE ROLE plain; GRANT urbanos_linker TO plain WITH INHERIT FALSE"
        )
        try:
            await connection.execute("GRANT SELECT ON ALL TABLES IN SCHEMA public TO plain")
            await connection.execute("SET LOCAL ROLE plain")
            assert await connection.fetchval("SELECT count(*) FROM organization") > 0
            with pytest.raises(asyncpg.InsufficientPrivilegeError):
                async with connection.transaction():
                    await connection.fetch("SELECT * FROM linker.person")
            await connection.execute("SET LOCAL ROLE urbanos_linker")
            with pytest.raises(asyncpg.InsufficientPrivilegeError):
                async with connection.transaction():
                    await connection.fetch("SELECT * FROM organization")
            assert await connection.fetchval("SELECT count(*) FROM linker.person") > 0
        finally:
            await connection.execute("RESET ROLE")
            await connection.execute("DROP OWNED BY plain; DROP ROLE plain")
