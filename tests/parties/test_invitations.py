"""An organisation comes in by a code that works once; every other code is refused in one wording."""

import asyncio
import secrets
from collections.abc import AsyncIterator
from datetime import datetime, timedelta
from typing import Any

import httpx
import pytest
import pytest_asyncio
from fastapi import FastAPI
from joserfc.jwk import ECKey

from app.audit.events import Event
from app.kit import clock
from app.models.parties import Role
from app.parties import invitations
from app.parties.seed import OPERATOR
from tests.conftest import ISSUER
from tests.oauth.people import acting, somebody
from tests.world import KENKO, World

VILLAGE = "273830"
BASE = "/v1/admin/invitations"
ACCEPT = "/v1/invitations/accept"


@pytest_asyncio.fixture(loop_scope="session")
async def outside(app: FastAPI) -> AsyncIterator[httpx.AsyncClient]:
    """Asks from an address of its own, so that tests do not use up each other's attempts."""
    place = ECKey.generate_key("P-256").thumbprint()
    transport = httpx.ASGITransport(app=app, client=(place, 1))
    async with httpx.AsyncClient(
        transport=transport, base_url=ISSUER, headers={"Accept-Language": "en"}
    ) as asking:
        yield asking


async def operator(world: World) -> dict[str, str]:
    party = await world.party(OPERATOR, Role.OPERATOR)
    return await world.token(party, "invitations:write")


async def coordinator(world: World) -> dict[str, str]:
    party = await world.party("271004-digital", Role.COORDINATOR)
    return await world.token(party, "invitations:write")


async def invited(world: World, **more: Any) -> dict[str, Any]:
    """A fresh invitation with its code."""
    body = {"organization": VILLAGE, "email": "soumu@vill.example.jp", **more}
    made = await world.client.post(BASE, json=body, headers=await operator(world))
    assert made.status_code == 201, made.text
    answer: dict[str, Any] = made.json()
    return answer


def public() -> dict[str, Any]:
    return {"keys": [dict(ECKey.generate_key("P-256").as_dict(private=False))]}


async def test_who_proved_one_factor_invites_nobody_not_even_a_machine_of_their_own(
    world: World,
) -> None:
    boss, app = await somebody(world, KENKO, Role.COORDINATOR), await world.party(KENKO)
    body = {"organization": KENKO, "email": "soumu@example.jp"}

    answers = []
    for both in (False, True):
        sender = await acting(world, app, boss, "invitations:write", second_factor=both)
        headers = sender.headers(BASE, "POST")
        answers.append(await world.client.post(BASE, json=body, headers=headers))

    assert answers[0].json()["code"] == "insufficient_user_authentication"
    assert answers[1].status_code == 201, answers[1].text
    assert [e["by"] for e in await world.log(Event.INVITATION_MADE)] == [boss]


async def test_a_village_comes_in_with_its_code_and_a_secret_shown_once(
    client: httpx.AsyncClient, outside: httpx.AsyncClient, world: World
) -> None:
    made = await invited(world, organization="27383")

    accepted = await outside.post(ACCEPT, json={"code": made["code"], "client_name": "総務課"})

    assert accepted.status_code == 201, accepted.text
    answer = accepted.json()
    assert answer["client"]["organization_id"] == VILLAGE
    assert answer["client"]["roles"] == ["steward"]
    token = await client.post(
        "/oauth/token",
        data={"grant_type": "client_credentials", "scope": "catalogue:write organization:write"},
        auth=(answer["client"]["id"], answer["secret"]),
    )
    assert token.json()["scope"] == "catalogue:write organization:write"
    log = await world.log(Event.INVITATION_MADE, Event.INVITATION_ACCEPTED, Event.CLIENT_ADDED)
    assert [entry["event"] for entry in log[-3:]] == [
        "invitation.made",
        "client.added",
        "invitation.accepted",
    ]
    assert log[-1]["client"] == answer["client"]["id"]


async def test_a_public_key_makes_a_client_without_a_secret(
    outside: httpx.AsyncClient, world: World
) -> None:
    made = await invited(world, roles=["steward", "developer"])
    body = {"code": made["code"], "client_id": "village-keyed", "jwks": public()}

    accepted = await outside.post(ACCEPT, json=body)

    assert accepted.status_code == 201, accepted.text
    assert accepted.json()["secret"] is None
    assert accepted.json()["client"]["id"] == "village-keyed"
    assert accepted.json()["client"]["roles"] == ["developer", "steward"]


async def test_the_code_is_kept_as_a_hash_and_told_nowhere_again(
    platform: Any, outside: httpx.AsyncClient, world: World
) -> None:
    made = await invited(world)
    plain = made["code"].replace("-", "")
    await outside.post(ACCEPT, json={"code": made["code"]})

    row = await platform.database.pool.fetchrow(
        "SELECT * FROM invitation WHERE id = $1", made["invitation"]["id"]
    )
    listed = await world.client.get(BASE, headers=await operator(world))

    assert len(plain) == 40  # 40 bits of handle, 160 bits of secret
    assert row["code_sha256"] != plain.encode()
    assert row["handle"] == plain[:8]
    for told in (listed.text, str(await world.log()), str(dict(row))):
        assert plain[8:] not in told
        assert made["code"] not in told


async def test_the_code_may_be_typed_as_clerks_type(
    outside: httpx.AsyncClient, world: World
) -> None:
    made = await invited(world)
    wide = (
        made["code"]
        .lower()
        .replace("-", " ")
        .translate({ord(sign): ord(sign) + 0xFEE0 for sign in "abcdefghijklmnopqrstuvwxyz234567"})
    )

    accepted = await outside.post(ACCEPT, json={"code": f" {wide} "})

    assert accepted.status_code == 201, accepted.text


async def refused(outside: httpx.AsyncClient, code: str) -> tuple[int, str, str]:
    response = await outside.post(ACCEPT, json={"code": code})
    return response.status_code, response.json()["code"], response.json()["detail"]


async def test_a_wrong_used_expired_or_withdrawn_code_is_refused_in_the_same_words(
    platform: Any, outside: httpx.AsyncClient, world: World
) -> None:
    used, expired, ended, wrong = [await invited(world) for _ in range(4)]
    await outside.post(ACCEPT, json={"code": used["code"]})
    await platform.database.pool.execute(
        "UPDATE invitation SET expires_at = $2 WHERE id = $1",
        expired["invitation"]["id"],
        clock.now() - timedelta(seconds=1),
    )
    path = f"{BASE}/{ended['invitation']['id']}/revoke"
    assert (await world.client.post(path, headers=await operator(world))).status_code == 200
    last = "A" if wrong["code"][-1] != "A" else "B"

    answers = [
        await refused(outside, code)
        for code in (
            used["code"],
            expired["code"],
            ended["code"],
            wrong["code"][:-1] + last,
            "nothing of the kind",
        )
    ]

    assert len(set(answers)) == 1
    assert answers[0][:2] == (403, "invitation_refused")
    entries = [e for e in await world.log(Event.CALL_REFUSED) if e["code"] == "invitation_refused"]
    assert [e["why"] for e in entries] == ["used", "expired", "ended", "wrong", "wrong"]


async def test_an_invitation_lives_fourteen_days(world: World) -> None:
    made = (await invited(world))["invitation"]

    kept = datetime.fromisoformat(made["expires_at"]) - datetime.fromisoformat(made["created_at"])

    assert kept == timedelta(days=14)


async def test_two_who_come_with_one_code_at_once_make_one_client(
    outside: httpx.AsyncClient, world: World, platform: Any
) -> None:
    made = await invited(world)

    answers = await asyncio.gather(
        *(outside.post(ACCEPT, json={"code": made["code"]}) for _ in range(5))
    )

    assert sorted(answer.status_code for answer in answers) == [201, 403, 403, 403, 403]
    by = f"invitation:{made['invitation']['id']}"
    found = await platform.database.pool.fetchval(
        "SELECT count(*) FROM client WHERE created_by = $1", by
    )
    assert found == 1


async def test_a_mistake_in_the_client_does_not_use_up_the_code(
    outside: httpx.AsyncClient, world: World
) -> None:
    made = await invited(world)
    private = {"keys": [dict(ECKey.generate_key("P-256").as_dict(private=True))]}

    wrong = await outside.post(ACCEPT, json={"code": made["code"], "jwks": private})
    right = await outside.post(ACCEPT, json={"code": made["code"], "jwks": public()})

    assert (wrong.status_code, wrong.json()["code"]) == (422, "jwks_invalid")
    assert right.status_code == 201


async def test_ten_wrong_codes_void_an_invitation(outside: httpx.AsyncClient, world: World) -> None:
    made = await invited(world)
    handle = made["code"].partition("-")[0]
    for at in range(invitations.MOST_WRONG_CODES):
        assert (await refused(outside, f"{handle}-{'A' * 31}{'BCDEFGHIJK'[at]}"))[0] == 403

    answer = await refused(outside, made["code"])

    assert answer[:2] == (403, "invitation_refused")
    assert (await world.log(Event.CALL_REFUSED))[-1]["why"] == "void"


async def test_an_address_that_tries_too_often_is_stopped_also_with_the_right_code(
    app: FastAPI, outside: httpx.AsyncClient, world: World
) -> None:
    made = await invited(world)
    for _ in range(invitations.MOST_ATTEMPTS):
        await refused(outside, "ABCD")

    stopped = await outside.post(ACCEPT, json={"code": made["code"]})

    assert (stopped.status_code, stopped.json()["code"]) == (429, "too_many_attempts")
    assert stopped.headers["retry-after"] == "600"
    assert (await world.log(Event.CALL_REFUSED))[-1]["code"] == "too_many_attempts"
    elsewhere = httpx.ASGITransport(app=app, client=("elsewhere", 1))
    async with httpx.AsyncClient(transport=elsewhere, base_url=ISSUER) as other:
        assert (await other.post(ACCEPT, json={"code": made["code"]})).status_code == 201


async def test_the_addresses_of_one_household_try_together(app: FastAPI, world: World) -> None:
    household = "2001:db8:" + ":".join(f"{secrets.randbelow(65_536):x}" for _ in range(2))
    answers = []
    for at in range(invitations.MOST_ATTEMPTS + 1):
        transport = httpx.ASGITransport(app=app, client=(f"{household}::{at + 1:x}", 1))
        async with httpx.AsyncClient(transport=transport, base_url=ISSUER) as asking:
            answers.append(await refused(asking, "ABCD"))

    assert {each[0] for each in answers[:-1]} == {403}
    assert answers[-1][:2] == (429, "too_many_attempts")
    assert (await world.log(Event.CALL_REFUSED))[-1]["code"] == "too_many_attempts"


@pytest.mark.parametrize(
    ("organization", "roles", "answer"),
    [
        ("271004-kenko", ["steward"], (201, None)),
        ("271004-kenko", ["steward", "coordinator"], (403, "invitation_not_yours")),
        ("271004-kenko", ["auditor"], (403, "invitation_not_yours")),
        (VILLAGE, ["steward"], (403, "invitation_not_yours")),
    ],
)
async def test_a_coordinator_invites_stewards_and_developers_of_its_own_body(
    client: httpx.AsyncClient,
    world: World,
    organization: str,
    roles: list[str],
    answer: tuple[int, str | None],
) -> None:
    body = {"organization": organization, "email": "a@example.jp", "roles": roles}

    response = await client.post(BASE, json=body, headers=await coordinator(world))

    assert (response.status_code, response.json().get("code") and answer[1]) == answer
    if answer[1]:
        assert response.json()["code"] == answer[1]
        assert (await world.log(Event.CALL_REFUSED))[-1]["code"] == answer[1]


async def test_the_operators_role_is_not_given_by_invitation(
    client: httpx.AsyncClient, world: World
) -> None:
    body = {"organization": VILLAGE, "email": "a@example.jp", "roles": ["operator"]}

    response = await client.post(BASE, json=body, headers=await operator(world))

    assert (response.status_code, response.json()["code"]) == (422, "role_not_invited")


async def test_a_coordinator_sees_and_takes_back_only_invitations_of_its_own_body(
    client: httpx.AsyncClient, world: World
) -> None:
    village = (await invited(world))["invitation"]["id"]
    own = (await invited(world, organization=KENKO))["invitation"]["id"]
    headers = await coordinator(world)

    listed = await client.get(BASE, params={"limit": 1000}, headers=headers)
    foreign = await client.post(f"{BASE}/{village}/revoke", headers=headers)
    mine = await client.post(f"{BASE}/{own}/revoke", headers=headers)
    again = await client.post(f"{BASE}/{own}/revoke", headers=headers)

    ids = [each["id"] for each in listed.json()["items"]]
    assert own in ids
    assert village not in ids
    assert (foreign.status_code, foreign.json()["code"]) == (404, "invitation_not_found")
    assert mine.json()["ended_at"] is not None
    assert (again.status_code, again.json()["code"]) == (409, "invitation_settled")


async def test_a_steward_cannot_invite(client: httpx.AsyncClient, world: World) -> None:
    steward = await world.token(await world.party(KENKO, Role.STEWARD), "catalogue:write")
    body = {"organization": KENKO, "email": "a@example.jp"}

    response = await client.post(BASE, json=body, headers=steward)

    assert (response.status_code, response.json()["code"]) == (403, "insufficient_scope")


async def test_an_organisation_that_is_unknown_or_closed_is_not_invited(
    client: httpx.AsyncClient, world: World
) -> None:
    party = await world.party(OPERATOR, Role.OPERATOR)
    headers = await world.token(party, "invitations:write admin:write")
    unit = {"id": "271004-gone", "kind": "unit", "name_ja": "試験", "parent_id": "271004"}
    await client.post("/v1/admin/organizations", json=unit, headers=headers)
    end = {"on": str(clock.now().date() - timedelta(days=1))}
    await client.post("/v1/admin/organizations/271004-gone/close", json=end, headers=headers)

    answers = [
        await client.post(BASE, json={"organization": each, "email": "a@b"}, headers=headers)
        for each in ("no-such-body", "271004-gone")
    ]

    assert [answer.json()["code"] for answer in answers] == [
        "organization_not_found",
        "organization_closed",
    ]
