"""Keys change while requests run and none fails; a dropped key ends its tokens everywhere."""

import asyncio
import json
import time
from base64 import urlsafe_b64encode
from collections import Counter
from collections.abc import Callable
from typing import Any

import httpx
import pytest
from fastapi import FastAPI

from app.api.state import Platform
from app.audit.events import Event
from app.models.parties import Role
from app.oauth.keys import KeyRing, ensure_keys, rotate
from tests.serving import served
from tests.world import World

OPERATOR = "270008-smartcity"
ASKS = "/v1/admin/organizations/271004"
ROTATE = "/v1/admin/keys/rotate"
SCOPE = "admin:read admin:write"


async def newly_installed(platform: Platform) -> None:
    """The first two keys, as a first start makes them."""
    async with platform.database.writing() as session:
        await platform.database.pool.execute("DELETE FROM signing_key")
        await ensure_keys(session, platform.sealer)
    platform.live.changed("keys", "current")


async def hours_later(platform: Platform, hours: int) -> None:
    """Let that much time have passed since the keys were made and changed."""
    await platform.database.pool.execute(
        "UPDATE signing_key SET created_at = created_at - make_interval(hours => $1),"
        " changed_at = changed_at - make_interval(hours => $1)",
        hours,
    )


async def test_the_next_key_signs_after_a_day_in_the_open_or_when_it_was_there_from_the_first(
    client: httpx.AsyncClient, platform: Platform, world: World
) -> None:
    await newly_installed(platform)
    operator = await world.party(OPERATOR, Role.OPERATOR)

    async def ask(**how: bool) -> str:
        headers = await world.token(operator, SCOPE)
        answer = await client.post(ROTATE, json=how, headers=headers)
        said: str = answer.json().get("code", "rotated")
        return said

    at_first = [await ask(), await ask(), await ask(early=True)]
    await hours_later(platform, 1)
    young = [await ask(), await ask(early=True)]
    await hours_later(platform, 25)
    old = await ask()

    assert at_first == ["rotated", "next_key_too_young", "rotation_too_soon"]
    assert young == ["next_key_too_young", "rotated"]
    assert old == "rotated"
    entries = await world.log(Event.KEY_ROTATED)
    assert [(e["by"], e.get("early")) for e in entries] == [
        (operator.id, None),
        (operator.id, True),
        (operator.id, None),
    ]


async def test_keys_are_listed_with_their_dates_and_no_private_half(
    client: httpx.AsyncClient, platform: Platform, world: World
) -> None:
    await newly_installed(platform)
    headers = await world.token(await world.party(OPERATOR, Role.OPERATOR), SCOPE)

    rotated = await client.post(ROTATE, json={}, headers=headers)
    listed = await client.get("/v1/admin/keys", headers=headers)

    assert (rotated.status_code, listed.status_code) == (200, 200)
    assert rotated.json() == listed.json()
    keys = listed.json()["keys"]
    assert sorted(key["state"] for key in keys) == ["current", "next", "previous"]
    assert {name for key in keys for name in key} == {"kid", "state", "created_at", "changed_at"}
    published = (await client.get("/oauth/jwks")).json()["keys"]
    assert {key["kid"] for key in keys} == {key["kid"] for key in published}
    assert not any("d" in key for key in published)


async def test_only_an_operators_client_rotates(client: httpx.AsyncClient, world: World) -> None:
    headers = await world.token(await world.party(OPERATOR, Role.COORDINATOR), "admin:read")

    response = await client.post(ROTATE, json={"emergency": True}, headers=headers)

    assert (response.status_code, response.json()["code"]) == (403, "insufficient_scope")
    assert len(await world.log(Event.CALL_REFUSED)) == 1


async def test_an_emergency_ends_all_tokens_of_the_key_on_every_replica(
    client: httpx.AsyncClient, replica: httpx.AsyncClient, platform: Platform, world: World
) -> None:
    await newly_installed(platform)
    party = await world.party(OPERATOR, Role.COORDINATOR)
    tokens = [await world.token(party, "admin:read") for _ in range(3)]
    operator = await world.token(await world.party(OPERATOR, Role.OPERATOR), SCOPE)
    for headers in tokens[:2]:  # the third is first shown after the drop
        assert (await replica.get(ASKS, headers=headers)).status_code == 200

    dropped = await client.post(ROTATE, json={"emergency": True}, headers=operator)

    assert dropped.status_code == 200
    assert (await client.get(ASKS, headers=tokens[0])).status_code == 401
    began = time.monotonic()
    while (await replica.get(ASKS, headers=tokens[0])).status_code == 200:
        assert time.monotonic() - began < 2
    for headers in [*tokens, operator]:
        assert (await replica.get(ASKS, headers=headers)).status_code == 401
    fresh = await world.token(party, "admin:read")
    assert (await replica.get(ASKS, headers=fresh)).status_code == 200


async def test_a_replica_takes_a_token_of_a_key_that_it_has_not_heard_of(
    client: httpx.AsyncClient,
    replica: httpx.AsyncClient,
    replica_app: FastAPI,
    platform: Platform,
    world: World,
) -> None:
    party = await world.party(OPERATOR, Role.COORDINATOR)
    live = replica_app.state.platform.live
    live._task.cancel()
    await live._connection.remove_listener("urbanos", live._heard)
    for _ in range(2):  # the second makes current a key that the replica never saw as next
        async with platform.database.writing() as session:
            await rotate(session, platform.sealer, by="test", emergency=True)
        platform.live.changed("keys", "current")

    headers = await world.token(party, "admin:read")

    assert (await replica.get(ASKS, headers=headers)).status_code == 200


async def test_forged_key_ids_make_the_keys_be_read_once_a_second_and_drop_nothing(
    client: httpx.AsyncClient, platform: Platform, monkeypatch: pytest.MonkeyPatch
) -> None:
    reads = []
    read = KeyRing._drop_what_changed

    async def counted(ring: KeyRing) -> None:
        reads.append(time.monotonic())
        await read(ring)

    monkeypatch.setattr(KeyRing, "_drop_what_changed", counted)
    held = await platform.keys.get()
    began = time.monotonic()

    answers = await asyncio.gather(
        *(client.get(ASKS, headers={"Authorization": f"Bearer {forged(n)}"}) for n in range(40))
    )

    assert {a.status_code for a in answers} == {401}
    assert len(reads) <= 1 + (time.monotonic() - began)
    assert platform.keys.held() is held


def forged(number: int) -> str:
    parts: list[dict[str, Any]] = [{"alg": "ES256", "typ": "at+jwt", "kid": f"x{number}"}, {}]
    return ".".join(urlsafe_b64encode(json.dumps(p).encode()).decode().rstrip("=")
                    for p in [*parts, {}])  # fmt: skip


async def _until(holds: Callable[[], bool]) -> None:
    async with asyncio.timeout(60):
        while not holds():  # noqa: ASYNC110 - many things change it
            await asyncio.sleep(0.01)


async def test_a_rotation_under_load_fails_no_request(
    app: FastAPI, replica_app: FastAPI, platform: Platform, world: World
) -> None:
    await newly_installed(platform)
    await replica_app.state.platform.keys.get()
    party = await world.party(OPERATOR, Role.COORDINATOR)
    old = await world.token(party, "admin:read")
    answers: Counter[int] = Counter()
    signers: set[str] = set()
    ended = asyncio.Event()

    async def load(issuing: httpx.AsyncClient, reading: httpx.AsyncClient) -> None:
        while not ended.is_set():
            got = await issuing.post("/oauth/token", data=party.form("admin:read"))
            answers[got.status_code] += 1
            token = got.json()["access_token"]
            signers.add(token.partition(".")[0])
            for headers in ({"Authorization": f"Bearer {token}"}, old):
                answers[(await reading.get(ASKS, headers=headers)).status_code] += 1

    async with served(app) as one, served(replica_app) as two:
        base = "http://127.0.0.1:{}"
        async with (
            httpx.AsyncClient(base_url=base.format(one)) as here,
            httpx.AsyncClient(base_url=base.format(two)) as there,
        ):
            loads = [asyncio.create_task(load(*way)) for way in ((here, there), (there, here)) * 2]
            await _until(lambda: answers[200] >= 100)
            async with platform.database.writing() as session:
                await rotate(session, platform.sealer, by="test")
            # Answers of both replicas on the way, and with the new key, however slow they are.
            await _until(lambda: len(signers) == 2)
            at = answers[200]
            await _until(lambda: answers[200] >= at + 100)
            ended.set()
            await asyncio.gather(*loads)

    assert set(answers) == {200}
    assert len(signers) == 2
