"""A token bound to a key is worth nothing without the key: each way to do without gets 401."""

import asyncio
import hmac
import json
import time
from base64 import urlsafe_b64decode, urlsafe_b64encode
from typing import Any

import httpx
import pytest
from joserfc.jwk import ECKey

from app.audit.events import Event
from app.models.parties import Role
from app.oauth.proofs import normal
from tests.bound import digest
from tests.conftest import ISSUER
from tests.oauth.senders import TOKEN_PATH, Sender, proof, sender
from tests.oauth.test_access_tokens import claims_of, signed
from tests.stock import path, stocked
from tests.world import KENKO, World

ASKS = "/v1/admin/organizations/271004"
OTHER = ECKey.generate_key("P-256")
PRIVATE = OTHER.as_dict(private=True)
OFF_THE_CURVE = {"kty": "EC", "crv": "P-256", "x": PRIVATE["y"], "y": PRIVATE["x"]}
P384 = ECKey.generate_key("P-384")


async def admin(world: World) -> Sender:
    return await sender(world, await world.party("270008-smartcity", Role.OPERATOR), "admin:read")


async def test_a_token_got_with_a_proof_is_bound_and_let_in_with_fresh_proofs(
    client: httpx.AsyncClient, world: World
) -> None:
    caller = await admin(world)

    answers = [await client.get(ASKS, headers=caller.headers(ASKS)) for _ in range(2)]

    assert caller.answer["token_type"] == "DPoP"
    assert [a.status_code for a in answers] == [200, 200]
    payload = caller.token.split(".")[1]
    claims = json.loads(urlsafe_b64decode(payload + "=="))
    assert claims["cnf"] == {"jkt": caller.key.thumbprint()}
    issued = await world.log(Event.TOKEN_ISSUED)
    assert [entry["bound"] for entry in issued] == [True]


def by_hmac(caller: Sender) -> str:
    """HS256 with the public key as the secret."""
    public = caller.key.as_dict(private=False)
    secret = json.dumps(public).encode()
    head, payload, _ = proof(caller.key, "GET", ASKS, token=caller.token).split(".")
    head = urlsafe_b64encode(
        json.dumps({"typ": "dpop+jwt", "alg": "HS256", "jwk": public}).encode()
    ).decode()
    head = head.rstrip("=")
    mark = hmac.digest(secret, f"{head}.{payload}".encode(), "sha256")
    return f"{head}.{payload}.{urlsafe_b64encode(mark).decode().rstrip('=')}"


WRONG: list[tuple[str, dict[str, Any], str]] = [
    ("alg none", {"header": {"alg": "none"}}, "alg"),
    ("symmetric key", {"header": {"jwk": {"kty": "oct", "k": "AAAA"}}}, "jwk"),
    ("no typ", {"header": {"typ": "JWT"}}, "typ"),
    ("typ of an access token", {"header": {"typ": "at+jwt"}}, "typ"),
    ("private key shown", {"header": {"jwk": PRIVATE}, "signed_by": OTHER}, "jwk"),
    ("a key of another curve", {"header": {"jwk": P384.as_dict(private=False)}}, "jwk"),
    ("a point off the curve", {"header": {"jwk": OFF_THE_CURVE}}, "jwk"),
    ("no key", {"header": {"jwk": {}}}, "jwk"),
    ("a strange header", {"header": {"kid": "x"}}, "header"),
    ("a key to be fetched", {"header": {"jku": "http://127.0.0.1/keys"}}, "header"),
    ("signed by another key", {"signed_by": OTHER}, "signature"),
    ("htm of another method", {"htm": "POST"}, "htm"),
    ("htm in small letters", {"htm": "get"}, "htm"),
    ("no htm", {"without": ("htm",)}, "htm"),
    ("htu of another path", {"htu": f"{ISSUER}/v1/admin/organizations/271403"}, "htu"),
    ("htu of another host", {"htu": f"http://elsewhere.test{ASKS}"}, "htu"),
    ("htu of another port", {"htu": f"http://urbanos.test:8080{ASKS}"}, "htu"),
    ("htu with a user", {"htu": f"http://a@urbanos.test{ASKS}"}, "htu"),
    ("htu without a host", {"htu": ASKS}, "htu"),
    ("htu with a line end", {"htu": f"{ISSUER}\n{ASKS}"}, "htu"),
    ("htu no text", {"htu": 7}, "htu"),
    ("ath of another token", {"ath": digest("another")}, "ath"),
    ("no ath", {"without": ("ath",)}, "ath"),
    ("iat long past", {"iat": -95}, "iat"),
    ("iat to come", {"iat": 60}, "iat"),
    ("iat as text", {"iat": "now"}, "iat"),
    ("no iat", {"without": ("iat",)}, "iat"),
    ("expired", {"exp": 1}, "expired"),
    ("not yet", {"nbf": 9_999_999_999}, "nbf"),
    ("no jti", {"without": ("jti",)}, "jti"),
    ("an empty jti", {"jti": ""}, "jti"),
    ("a long jti", {"jti": "x" * 129}, "jti"),
    ("a jti with NUL", {"jti": "a\0b"}, "jti"),
]


@pytest.mark.parametrize(("wrong", "why"), [case[1:] for case in WRONG], ids=[c[0] for c in WRONG])
async def test_a_proof_with_anything_wrong_is_refused_and_logged(
    client: httpx.AsyncClient, world: World, wrong: dict[str, Any], why: str
) -> None:
    caller = await admin(world)
    if isinstance(wrong.get("iat"), int):
        wrong = {"iat": int(time.time()) + wrong["iat"]}

    response = await client.get(ASKS, headers=caller.headers(ASKS, **wrong))

    assert (response.status_code, response.json()["code"]) == (401, "invalid_dpop_proof")
    challenge = response.headers["www-authenticate"]
    assert challenge.startswith('DPoP algs="ES256", error="invalid_dpop_proof"')
    assert [e["why"] for e in await world.log(Event.CALL_REFUSED)] == [f"proof_{why}"]


def sent(name: str, caller: Sender, bearer: str) -> list[tuple[str, str]]:
    """Requests that are wrong as a whole."""
    right = proof(caller.key, "GET", ASKS, token=caller.token)
    bound = ("Authorization", f"DPoP {caller.token}")
    return {
        "no proof": [bound],
        "two proofs": [bound, ("DPoP", right), ("DPoP", right)],
        "two proofs in one header": [bound, ("DPoP", f"{right}, {right}")],
        "a proof of 1 MB": [bound, ("DPoP", "x" * 1_000_000)],
        "an access token as proof": [bound, ("DPoP", caller.token)],
        "HS256 with the public key": [bound, ("DPoP", by_hmac(caller))],
        "a second key": [bound, ("DPoP", proof(OTHER, "GET", ASKS, token=caller.token))],
        "as Bearer": [("Authorization", f"Bearer {caller.token}")],
        "as Bearer with its proof": [("Authorization", f"Bearer {caller.token}"), ("DPoP", right)],
        "a bearer token as DPoP": [
            ("Authorization", f"DPoP {bearer}"),
            ("DPoP", proof(caller.key, "GET", ASKS, token=bearer)),
        ],
        "a proof as token": [("Authorization", f"DPoP {right}"), ("DPoP", right)],
        "a proof as bearer token": [("Authorization", f"Bearer {right}")],
    }[name]


@pytest.mark.parametrize(
    ("name", "code"),
    [
        ("no proof", "invalid_dpop_proof"),
        ("two proofs", "invalid_dpop_proof"),
        ("two proofs in one header", "invalid_dpop_proof"),
        ("a proof of 1 MB", "invalid_dpop_proof"),
        ("an access token as proof", "invalid_dpop_proof"),
        ("HS256 with the public key", "invalid_dpop_proof"),
        ("a second key", "invalid_dpop_proof"),
        ("as Bearer", "invalid_token"),
        ("as Bearer with its proof", "invalid_token"),
        ("a bearer token as DPoP", "invalid_token"),
        ("a proof as token", "invalid_token"),
        ("a proof as bearer token", "invalid_token"),
    ],
)
async def test_a_bound_token_is_nothing_without_its_key(
    client: httpx.AsyncClient, world: World, name: str, code: str
) -> None:
    caller = await admin(world)
    bearer = (await world.token(caller.party, "admin:read"))["Authorization"].split()[1]
    assert (await client.get(ASKS, headers=caller.headers(ASKS))).status_code == 200  # remembered

    response = await client.get(ASKS, headers=sent(name, caller, bearer))

    assert (response.status_code, response.json()["code"]) == (401, code)
    assert 'DPoP algs="ES256"' in response.headers["www-authenticate"]
    assert len(await world.log(Event.CALL_REFUSED)) == 1


async def test_a_proof_sent_again_at_once_gets_through_once(
    client: httpx.AsyncClient, world: World
) -> None:
    caller = await admin(world)
    headers = caller.headers(ASKS)

    answers = await asyncio.gather(*(client.get(ASKS, headers=headers) for _ in range(4)))

    assert sorted(a.status_code for a in answers) == [200, 401, 401, 401]
    assert {e["why"] for e in await world.log(Event.CALL_REFUSED)} == {"proof_replayed"}


async def test_the_same_jti_of_another_key_is_no_replay(
    client: httpx.AsyncClient, world: World
) -> None:
    one, other = await admin(world), await admin(world)

    answers = [await client.get(ASKS, headers=s.headers(ASKS, jti="same")) for s in (one, other)]

    assert [a.status_code for a in answers] == [200, 200]


async def test_htu_is_compared_after_normalising_and_without_the_query(
    client: httpx.AsyncClient, world: World
) -> None:
    caller = await admin(world)
    ways = (
        f"HTTP://URBANOS.test:80{ASKS}",
        f"{ISSUER}/v1/%61dmin/./x/../organizations/271004",
        f"{ISSUER}{ASKS}?lang=ja#x",
    )

    answers = [await client.get(ASKS, headers=caller.headers(ASKS, htu=way)) for way in ways]

    assert [a.status_code for a in answers] == [200, 200, 200]


@pytest.mark.parametrize(
    ("uri", "same"),
    [
        ("https://a.test:443", "https://a.test/"),
        ("https://A.test/%7ex/%e3%81%82", "https://a.test/~x/%E3%81%82"),
        ("https://a.test/a/b/../../../c/.", "https://a.test/c/"),
        ("https://a.test/a%2Fb", "https://a.test/a%2Fb"),
        ("https://a.test:99999/", None),
        ("ftp://a.test/", None),
        ("https://[::1/", None),
        ("", None),
    ],
)
def test_an_address_has_one_normal_form(uri: str, same: str | None) -> None:
    assert normal(uri) == same


async def test_records_are_read_and_written_with_proofs_for_their_own_addresses(
    world: World,
) -> None:
    dataset = await stocked(world, [{"no": "1"}], data_class="restricted")
    scope = f"dataset:{dataset}:read dataset:{dataset}:write"
    caller = await sender(world, await world.party(KENKO), scope)
    where = path(dataset)

    wrote = await world.client.post(
        where, json=[{"no": "あ/い"}], headers=caller.headers(where, "POST")
    )
    keyed = path(dataset, "%E3%81%82%2F%E3%81%84") + "?purpose=own-duty"
    read = await world.client.get(keyed, headers=caller.headers(keyed))

    assert caller.answer["expires_in"] == 300
    assert (wrote.status_code, read.status_code) == (200, 200), (wrote.text, read.text)


async def test_a_proof_beside_a_bearer_token_is_not_asked_for(
    world: World, client: httpx.AsyncClient
) -> None:
    dataset = await stocked(world, [{"no": "1"}], data_class="internal")
    bearer = await world.bearer(await world.party(KENKO), f"dataset:{dataset}:read")
    headers = {**bearer, "DPoP": "nothing"}

    answer = await client.get(path(dataset), params={"purpose": "own-duty"}, headers=headers)

    assert answer.status_code == 200


@pytest.mark.parametrize(
    ("wrong", "why"),
    [
        ({"htu": f"{ISSUER}{ASKS}"}, "proof_htu"),
        ({"htm": "GET"}, "proof_htm"),
        ({"header": {"typ": "JWT"}}, "proof_typ"),
        ({"signed_by": OTHER}, "proof_signature"),
        ({"iat": 1}, "proof_iat"),
    ],
)
async def test_a_wrong_proof_gets_no_token(
    client: httpx.AsyncClient, world: World, wrong: dict[str, Any], why: str
) -> None:
    party = await world.party(KENKO, Role.AUDITOR)
    shown = proof(ECKey.generate_key("P-256"), "POST", TOKEN_PATH, **wrong)

    response = await client.post(TOKEN_PATH, data=party.form("audit:read"), headers={"DPoP": shown})

    assert (response.status_code, response.json()["error"]) == (400, "invalid_dpop_proof")
    assert [e["why"] for e in await world.log(Event.TOKEN_REFUSED)] == [why]


async def test_a_proof_gets_one_token_and_two_proofs_get_none(
    client: httpx.AsyncClient, world: World
) -> None:
    party = await world.party(KENKO, Role.AUDITOR)
    key = ECKey.generate_key("P-256")
    shown, other = (proof(key, "POST", TOKEN_PATH) for _ in range(2))

    async def ask(*proofs: str) -> httpx.Response:
        headers = [("DPoP", each) for each in proofs]
        return await client.post(TOKEN_PATH, data=party.form("audit:read"), headers=headers)

    answers = [await ask(shown), await ask(shown), await ask(other, other)]

    assert [a.status_code for a in answers] == [200, 400, 400]
    refused = [e["why"] for e in await world.log(Event.TOKEN_REFUSED)]
    assert refused == ["proof_replayed", "proof_count"]


@pytest.mark.parametrize(
    "cnf",
    [{}, {"jkt": 7}, {"x5t#S1": "x" * 43}, "x", {"jkt": "short"}, {"x5t#S256": "short"},
     {"jkt": "x" * 43, "x5t#S256": "x" * 43}],
)  # fmt: skip
async def test_a_bond_that_cannot_be_checked_is_never_a_bearer_token(
    client: httpx.AsyncClient, world: World, cnf: Any
) -> None:
    party = await world.party("270008-smartcity", Role.OPERATOR)
    headers = signed(await world.platform.keys.get(), claims_of(party, cnf=cnf))

    response = await client.get(ASKS, headers=headers)

    assert response.status_code == 401
    assert [e["why"] for e in await world.log(Event.CALL_REFUSED)] == ["cnf"]


async def test_another_resource_is_no_target(client: httpx.AsyncClient, world: World) -> None:
    party = await world.party(KENKO, Role.AUDITOR)

    answers = [
        await client.post(TOKEN_PATH, data=party.form("audit:read", resource=resource))
        for resource in (ISSUER, f"{ISSUER}/", "http://elsewhere.test", "")
    ]

    assert [a.status_code for a in answers] == [200, 400, 400, 400]
    assert {a.json()["error"] for a in answers[1:]} == {"invalid_target"}


async def test_both_documents_say_what_a_token_may_be_bound_to(client: httpx.AsyncClient) -> None:
    for name in ("oauth-authorization-server", "oauth-protected-resource"):
        told = (await client.get(f"/.well-known/{name}")).json()
        assert told["dpop_signing_alg_values_supported"] == ["ES256"]
        assert told["authorization_details_types_supported"] == ["dataset-agreement"]
