"""A client brings its next key: spoken for by the one that it has, proven by the new one."""

import asyncio
from typing import Any

import httpx
from joserfc.jwk import ECKey

from app.audit.events import Event
from app.models.parties import Role
from app.parties import clients
from tests.oauth.senders import TOKEN_PATH, proof
from tests.signin.opening import somebody_waits
from tests.world import ASSERTION_TYPE, KENKO, Party, World

PATH = "/oauth/keys"


async def bring(
    world: World,
    party: Party,
    new: ECKey,
    *,
    by: ECKey | None = None,
    named: object = None,
    shown: str | None = None,
    asking: httpx.AsyncClient | None = None,
    **more: Any,
) -> httpx.Response:
    """The answer to a new key, which is right but for what is named."""
    key = by or party.key
    cnf = {"jkt": new.thumbprint()} if named is None else named
    form = {
        "client_assertion_type": ASSERTION_TYPE,
        "client_assertion": party.assertion(header={"kid": key.thumbprint()}, key=key, cnf=cnf),
        **more,
    }
    headers = {"DPoP": proof(new, "POST", PATH) if shown is None else shown}
    return await (asking or world.client).post(PATH, data=form, headers=headers)


async def is_known(world: World, party: Party, key: ECKey) -> bool:
    """Whether the client gets a token by this key."""
    assertion = party.assertion(header={"kid": key.thumbprint()}, key=key)
    form = party.form("audit:read", client_assertion=assertion)
    return (await world.client.post(TOKEN_PATH, data=form)).status_code == 200


async def test_a_client_changes_its_key_over_without_the_operator(world: World) -> None:
    party = await world.party(KENKO, Role.AUDITOR)
    second, third = [ECKey.generate_key("P-256") for _ in range(2)]

    first = await bring(world, party, second)
    both = [await is_known(world, party, key) for key in (party.key, second)]
    then = await bring(world, party, third, by=second)
    after = [await is_known(world, party, key) for key in (party.key, second, third)]

    assert first.status_code == 200, first.text
    kids = [[key["kid"] for key in each.json()["keys"]] for each in (first, then)]
    assert kids[0] == [party.key.thumbprint(), second.thumbprint()]
    assert kids[1] == [second.thumbprint(), third.thumbprint()]
    assert (both, after) == ([True, True], [False, True, True])
    changed = await world.log(Event.CLIENT_CHANGED)
    assert [(e["by"], e["signed_by"], e["kids"]) for e in changed] == [
        (party.id, party.key.thumbprint(), kids[0]),
        (party.id, second.thumbprint(), kids[1]),
    ]


async def test_a_key_comes_in_only_named_by_the_old_one_and_proven_by_itself(world: World) -> None:
    party, thief = await world.party(KENKO, Role.AUDITOR), ECKey.generate_key("P-256")
    mine = ECKey.generate_key("P-256")

    answers = [
        await bring(world, party, thief, named={}),  # a plain assertion on its way to a token
        await bring(world, party, thief, named=thief.thumbprint()),
        await bring(world, party, thief, named={"jkt": mine.thumbprint()}),
        await bring(world, party, mine, shown=proof(thief, "POST", PATH)),
        await bring(world, party, mine, shown=""),
        await bring(world, party, mine, shown=proof(mine, "POST", TOKEN_PATH)),
        await bring(world, party, mine, shown=proof(mine, "POST", PATH, signed_by=thief)),
        await bring(world, party, thief, by=thief),
        await bring(world, party, thief, client_id="another-client"),
        await bring(world, party, party.key),
    ]

    errors = [each.json()["error"] for each in answers]
    assert errors == ["invalid_dpop_proof"] * 7 + ["invalid_client"] * 2 + ["invalid_request"]
    assert [await is_known(world, party, key) for key in (party.key, mine, thief)] == [
        True,
        False,
        False,
    ]
    assert await world.log(Event.CLIENT_CHANGED) == []
    refused = [e for e in await world.log(Event.TOKEN_REFUSED) if e["path"] == PATH]
    assert len(refused) == len(answers)


async def test_a_client_that_is_out_or_has_no_key_brings_none(world: World) -> None:
    gone, by_secret = await world.party(KENKO), await world.party(KENKO, by_secret=True)
    admin = await world.token(await world.party(KENKO, Role.OPERATOR), "admin:write")
    await world.client.post(f"/v1/admin/clients/{gone.id}/revoke", headers=admin)
    assert by_secret.secret is not None
    new = ECKey.generate_key("P-256")

    out = await bring(world, gone, new)
    without = await world.client.post(
        PATH,
        data={"client_id": by_secret.id},
        auth=(by_secret.id, by_secret.secret),
        headers={"DPoP": proof(new, "POST", PATH)},
    )

    assert (out.status_code, out.json()["error"]) == (401, "invalid_client")
    assert (without.status_code, without.json()["error"]) == (400, "invalid_request")


async def test_of_many_keys_at_once_on_two_workers_two_slots_are_left(
    world: World, replica: httpx.AsyncClient
) -> None:
    party = await world.party(KENKO, Role.AUDITOR)
    keys = [ECKey.generate_key("P-256") for _ in range(6)]
    both = [world.client, replica] * 3

    answers = await asyncio.gather(
        *(bring(world, party, key, asking=at) for key, at in zip(keys, both, strict=True))
    )

    assert {each.status_code for each in answers} == {200}
    known = [await is_known(world, party, key) for key in (party.key, *keys)]
    assert (known[0], sum(known)) == (True, 2)


async def test_a_key_that_was_taken_away_at_the_same_moment_speaks_for_no_other(
    world: World,
) -> None:
    party, kept = await world.party(KENKO, Role.AUDITOR), ECKey.generate_key("P-256")
    left = {"keys": [dict(kept.as_dict(private=False))]}
    async with world.platform.database.writing() as operator:
        await clients.replace_keys(operator, party.id, left, by="test")

        # It proved itself by the key that is still registered; the operator is first at the row.
        late = asyncio.create_task(bring(world, party, ECKey.generate_key("P-256")))
        await somebody_waits(world.platform)

    answer = await late
    assert (answer.status_code, answer.json()["error"]) == (401, "invalid_client")
    (entry,) = await world.log(Event.TOKEN_REFUSED)
    assert (entry["why"], entry["path"]) == ("key_gone", PATH)
    assert await is_known(world, party, kept)
