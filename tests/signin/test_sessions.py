"""Sessions of people: what opens one, and what ends it."""

import asyncio
import secrets
from datetime import timedelta

import pytest

from app.api.state import Platform
from app.kit import clock
from app.models.parties import OrganizationKind, Role
from app.parties import organizations, people
from app.parties.organizations import NewOrganization
from app.signin.passwords import hash_password
from app.signin.sessions import IDLE, LONGEST, csrf_of, is_csrf_of
from tests.signin.opening import opened, somebody_waits
from tests.world import KENKO, SAKAI


async def somebody(platform: Platform) -> str:
    """The id of a member of staff."""
    async with platform.database.writing() as session:
        new = people.NewPerson(
            KENKO, "都市 花子", f"{secrets.token_hex(4)}@example.jp", [Role.STEWARD]
        )
        return (await people.add(session, new, by="test")).id


async def test_a_session_is_found_by_its_secret_alone(platform: Platform) -> None:
    person_id = await somebody(platform)

    secret = await opened(platform, person_id, ("pwd",))

    found = await platform.sign_ins.find(secret)
    assert found is not None
    assert (found.person_id, found.methods, found.second_factor_at) == (person_id, ("pwd",), None)
    for wrong in (None, "", secret[:-1], secret + "A", secrets.token_urlsafe(32)):
        assert await platform.sign_ins.find(wrong) is None


async def test_a_second_factor_changes_the_secret_and_the_old_one_opens_nothing(
    platform: Platform,
) -> None:
    person_id = await somebody(platform)
    secret = await opened(platform, person_id, ("pwd",))

    new = await platform.sign_ins.step_up(secret, ("pwd", "otp"))

    assert new is not None
    found = await platform.sign_ins.find(new)
    assert found is not None
    assert found.second_factor_at is not None
    assert await platform.sign_ins.find(secret) is None
    assert await platform.sign_ins.step_up(secret, ("pwd", "otp")) is None


@pytest.mark.parametrize("after", [IDLE, LONGEST])
async def test_a_session_ends_when_nobody_uses_it_or_the_day_is_over(
    platform: Platform, after: timedelta, monkeypatch: pytest.MonkeyPatch
) -> None:
    secret = await opened(platform, await somebody(platform), ("pwd",))
    began = clock.now()

    for step in range(1, int(after / (IDLE / 2))):
        monkeypatch.setattr(clock, "now", lambda step=step: began + step * IDLE / 2)
        alive = await platform.sign_ins.find(secret) if after == LONGEST else object()
        assert alive is not None
    monkeypatch.setattr(clock, "now", lambda: began + after + timedelta(seconds=1))

    assert await platform.sign_ins.find(secret) is None


async def test_a_disabled_persons_session_opens_nothing(platform: Platform) -> None:
    person_id = await somebody(platform)
    secret = await opened(platform, person_id, ("pwd",))

    async with platform.database.writing() as session:
        await people.disable(session, person_id, by="test")

    assert await platform.sign_ins.find(secret) is None


@pytest.mark.parametrize("password_hash", [None, "the one before"])
async def test_no_session_is_opened_for_who_is_shut_out_meanwhile(
    platform: Platform, password_hash: str | None
) -> None:
    person_id = await somebody(platform)
    async with platform.database.writing() as session:
        (await people.get(session, person_id)).password_hash = "the one before"

    async with platform.database.writing() as session:
        person = await people.disable(session, person_id, by="test")
        if password_hash is not None:  # let in again at once, with another password
            await people.enable(session, person_id, by="test")
            person.password_hash = "another"
        await session.flush()
        late = asyncio.create_task(
            platform.sign_ins.open(person_id, ("pwd",), password_hash=password_hash)
        )
        await somebody_waits(platform)

    assert await late is None
    assert await platform.sign_ins.count(person_id) == 0


async def test_a_closed_organisations_staff_are_out_at_once_and_come_in_no_more(
    platform: Platform,
) -> None:
    unit = NewOrganization("271403-closed", OrganizationKind.UNIT, "閉課", parent_id=SAKAI)
    email = f"{secrets.token_hex(4)}@example.jp"
    async with platform.database.writing() as session:
        await organizations.add(session, unit, by="test")
        new = people.NewPerson(unit.id, "堺 次郎", email)
        person = await people.add(session, new, by="test")
        person.password_hash = await hash_password("umi hotaru kasa")
    secret = await opened(platform, person.id, ("pwd",))
    before = await platform.accounts.sign_in(email, "umi hotaru kasa", "", "r")

    async with platform.database.writing() as session:
        today = clock.now().astimezone(clock.TOKYO).date()
        await organizations.close(session, unit.id, on=today, successor_id=None, by="test")

    assert before is not None
    assert await platform.sign_ins.find(secret) is None
    assert await platform.accounts.sign_in(email, "umi hotaru kasa", "", "r") is None


async def test_a_form_of_one_session_is_none_of_another(platform: Platform) -> None:
    person_id = await somebody(platform)
    mine, other = [await opened(platform, person_id, ("pwd",)) for _ in range(2)]

    token = csrf_of(mine)

    assert is_csrf_of(mine, token)
    assert not is_csrf_of(other, token)
    assert not is_csrf_of(mine, None)
