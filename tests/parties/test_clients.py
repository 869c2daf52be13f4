"""Clients are known by public keys or a hashed secret; a private key that is sent is refused."""

from typing import Any

import httpx
import pytest
from joserfc.jwk import ECKey, OctKey, RSAKey

from app.api.state import Platform
from app.audit.events import Event
from app.models.parties import Role
from app.parties import clients
from app.parties.clients import ClientNotFound, load_client_facts
from tests.oauth.people import acting, somebody
from tests.world import KENKO, SAKAI, World

BASE = "/v1/admin/clients"


async def operator(world: World) -> dict[str, str]:
    party = await world.party("270008-smartcity", Role.OPERATOR)
    return await world.token(party, "admin:read admin:write")


def public(curve: str = "P-256") -> dict[str, Any]:
    return dict(ECKey.generate_key(curve).as_dict(private=False))


async def test_the_kid_is_the_thumbprint_whatever_was_sent(
    client: httpx.AsyncClient, world: World
) -> None:
    key = ECKey.generate_key("P-256")
    sent = {**key.as_dict(private=False), "kid": "mine"}
    new = {"organization_id": "27100", "name": "試験", "jwks": {"keys": [sent]}}

    response = await client.post(BASE, json=new, headers=await operator(world))

    assert response.status_code == 201
    made = response.json()["client"]
    assert made["organization_id"] == "271004"
    assert made["jwks"]["keys"][0]["kid"] == key.thumbprint()
    assert response.json()["secret"] is None
    assert [entry["client"] for entry in await world.log(Event.CLIENT_ADDED)][-1] == made["id"]


@pytest.mark.parametrize(
    ("keys", "code"),
    [
        ([], "jwks_size"),
        ([public(), public(), public()], "jwks_size"),
        ([dict(ECKey.generate_key("P-256").as_dict(private=True))], "private_key"),
        ([public("P-384")], "jwk_curve"),
        ([dict(RSAKey.generate_key(2048).as_dict(private=False))], "jwk_curve"),
        ([dict(OctKey.generate_key(256).as_dict())], "private_key"),
        ([{**public(), "alg": "RS256"}], "jwk_use"),
        ([{**public(), "use": "enc"}], "jwk_use"),
        ([{**public(), "x": "AAAA"}], "jwk_invalid"),
        ([{"kty": "EC", "crv": "P-256"}], "jwk_invalid"),
        (["x"], "jwk_invalid"),
        ([(same := public()), same], "jwks_same"),
    ],
)
async def test_a_key_set_that_is_not_plain_public_p256_is_refused(
    client: httpx.AsyncClient, world: World, keys: list[Any], code: str
) -> None:
    new = {"organization_id": KENKO, "name": "試験", "jwks": {"keys": keys}}

    response = await client.post(BASE, json=new, headers=await operator(world))

    assert response.status_code == 422
    assert response.json()["errors"][0]["code"] == code


async def test_a_secret_is_shown_once_and_never_again(
    client: httpx.AsyncClient, world: World
) -> None:
    headers = await operator(world)
    new = {"organization_id": KENKO, "name": "試験", "auth_method": "client_secret_basic"}

    added = (await client.post(BASE, json=new, headers=headers)).json()
    shown = await client.get(f"{BASE}/{added['client']['id']}", headers=headers)

    assert len(added["secret"]) == 43
    assert "secret" not in shown.text.replace("client_secret_basic", "")
    assert added["secret"] not in str(await world.log())


@pytest.mark.parametrize(
    ("new", "code"),
    [
        ({"name": "x", "organization_id": KENKO}, "jwks_required"),
        (
            {
                "name": "x",
                "organization_id": KENKO,
                "auth_method": "client_secret_basic",
                "jwks": {"keys": [public()]},
            },
            "one_credential",
        ),
        ({"name": "x"}, "required"),
        ({"name": "x", "organization_id": KENKO, "rolls": []}, "unknown_field"),
        ({"name": "x", "organization_id": KENKO, "roles": ["king"]}, "enum"),
        ({"name": "a\u0000b", "organization_id": KENKO}, "control_character"),
    ],
)
async def test_a_contradictory_client_is_refused_with_its_place(
    client: httpx.AsyncClient, world: World, new: dict[str, Any], code: str
) -> None:
    response = await client.post(BASE, json=new, headers=await operator(world))

    assert response.status_code == 422
    assert response.json()["errors"][0]["code"] == code
    assert response.json()["errors"][0]["pointer"].startswith("/")


async def test_two_slots_let_a_client_change_its_key_without_a_gap(
    client: httpx.AsyncClient, world: World
) -> None:
    headers = await operator(world)
    party = await world.party(KENKO, Role.AUDITOR)
    new = ECKey.generate_key("P-256")
    both = {"keys": [party.key.as_dict(private=False), new.as_dict(private=False)]}

    replaced = await client.put(f"{BASE}/{party.id}/keys", json=both, headers=headers)

    assert replaced.status_code == 200
    by_new = party.assertion(header={"kid": new.thumbprint()}, key=new)
    for form in (party.form("audit:read"), party.form("audit:read", client_assertion=by_new)):
        assert (await client.post("/oauth/token", data=form)).status_code == 200
    only = {"keys": [new.as_dict(private=False)]}
    await client.put(f"{BASE}/{party.id}/keys", json=only, headers=headers)
    assert (await client.post("/oauth/token", data=party.form("audit:read"))).status_code == 401


async def test_a_revoked_client_cannot_be_revoked_or_keyed_again(
    client: httpx.AsyncClient, world: World
) -> None:
    headers = await operator(world)
    party = await world.party()
    await client.post(f"{BASE}/{party.id}/revoke", headers=headers)

    again = await client.post(f"{BASE}/{party.id}/revoke", headers=headers)
    keyed = await client.put(f"{BASE}/{party.id}/keys", json={"keys": [public()]}, headers=headers)

    assert [a.json()["code"] for a in (again, keyed)] == ["client_already_revoked"] * 2
    assert [e["client"] for e in await world.log(Event.CLIENT_REVOKED)] == [party.id]


@pytest.mark.parametrize(
    ("method", "below", "body"),
    [
        ("POST", "", {"organization_id": KENKO, "name": "試験", "jwks": {"keys": [public()]}}),
        ("PUT", "/{id}/keys", {"keys": [public()]}),
        ("PUT", "/{id}/sign-in", {"redirect_uris": [], "staff_of": [SAKAI]}),
        ("POST", "/{id}/revoke", None),
    ],
    ids=["add", "keys", "sign-in", "revoke"],
)
async def test_who_proved_one_factor_gets_no_machine_to_act_for_them_without_the_second(
    client: httpx.AsyncClient, world: World, method: str, below: str, body: Any
) -> None:
    boss = await somebody(world, SAKAI, Role.OPERATOR)
    app, party = await world.party(SAKAI), await world.party(KENKO)
    path = BASE + below.format(id=party.id)

    answers = []
    for both in (False, True):
        sender = await acting(world, app, boss, "admin:write", second_factor=both)
        headers = sender.headers(path, method)
        answers.append(await client.request(method, path, json=body, headers=headers))

    assert answers[0].json()["code"] == "insufficient_user_authentication"
    assert answers[1].is_success, answers[1].text
    log = await world.log(Event.CLIENT_ADDED, Event.CLIENT_CHANGED, Event.CLIENT_REVOKED)
    assert [entry["by"] for entry in log if entry["by"] != "test"] == [boss]


async def test_the_reason_of_a_revocation_is_kept_in_the_log(
    platform: Platform, world: World
) -> None:
    party = await world.party()

    async with platform.database.writing() as session:
        await clients.revoke(session, party.id, by="cli:test", reason="委託終了")

    assert [e["reason"] for e in await world.log(Event.CLIENT_REVOKED)] == ["委託終了"]


async def test_an_unknown_client_is_not_found(client: httpx.AsyncClient, world: World) -> None:
    response = await client.get(f"{BASE}/nobody", headers=await operator(world))

    assert (response.status_code, response.json()["code"]) == (404, "client_not_found")


async def test_the_facts_of_a_client_know_both_parents_and_one_body(world: World) -> None:
    pool = world.platform.database.pool
    joint = await load_client_facts(pool, (await world.party("271004-banpaku")).id)
    ward = await load_client_facts(pool, (await world.party("271276")).id)

    assert joint.line == {"271004-banpaku", "271004", "270008"}
    assert joint.body_id == "271004"
    assert ward.body_id == "271004"
    assert ward.line == {"271276", "271004"}
    with pytest.raises(ClientNotFound):
        await load_client_facts(pool, "nobody")


@pytest.mark.parametrize(
    "uri",
    [
        "http://app.example/callback",
        "https://app.example",
        "https://app.example/callback#part",
        "https://app.example/*",
        "https://*.example/callback",
        "https://APP.example/callback",
        "https://user@app.example/callback",
        "https://app.example\\@evil.example/callback",
        "https://app.example/a/../callback",
        "https://app.example/a/%2e%2e/callback",
        "https://app.example/callback?state=mine",
        "https://app.example/call back",
        "https://app.example/call\nback",
        "http://127.0.0.1.evil.example/callback",
        "http://[::2]/callback",
        "javascript:alert(1)",
        "app.example:/callback",
        "https://app.example/" + "x" * 500,
    ],
)
async def test_nobody_is_sent_to_an_address_that_can_be_read_in_two_ways(
    client: httpx.AsyncClient, world: World, uri: str
) -> None:
    path = f"{BASE}/{(await world.party()).id}/sign-in"
    told = {"redirect_uris": ["https://app.example/ok", uri], "staff_of": []}

    response = await client.put(path, json=told, headers=await operator(world))

    assert response.status_code == 422
    assert [each["pointer"] for each in response.json()["errors"]] == ["/redirect_uris/1"]


async def test_an_operator_says_who_may_sign_in_to_a_client_and_where_it_leads_back(
    client: httpx.AsyncClient, world: World
) -> None:
    headers = await operator(world)
    uris = ["http://127.0.0.1:8400/cb", "http://[::1]/cb", "https://app.example:8443/cb?tenant=1"]
    new = {"organization_id": "27100", "name": "試験", "jwks": {"keys": [public()]}}
    new |= {"redirect_uris": uris[:1], "staff_of": ["27140"]}
    made = (await client.post(BASE, json=new, headers=headers)).json()["client"]
    path = f"{BASE}/{made['id']}/sign-in"

    changed = await client.put(
        path, json={"redirect_uris": uris, "staff_of": ["271004"]}, headers=headers
    )
    unknown = await client.put(
        path, json={"redirect_uris": [], "staff_of": ["nobody"]}, headers=headers
    )

    assert (made["redirect_uris"], made["staff_of"]) == (uris[:1], ["271403"])
    assert changed.json()["redirect_uris"] == sorted(uris)
    assert changed.json()["staff_of"] == ["271004"]
    assert (unknown.status_code, unknown.json()["code"]) == (404, "organization_not_found")
    assert [each["staff_of"] for each in await world.log(Event.CLIENT_CHANGED)] == [["271004"]]
