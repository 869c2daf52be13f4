"""A ward's system in LGWAN, a rogue copy of its key on the internet, and an agreement that ends.

Rows R06, R07, R10, R35, over real sockets, from an empty database. All data is synthetic.
"""

import base64
import json
import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any, Final

import httpx
import pytest
import pytest_asyncio
from fastapi import FastAPI
from joserfc.jwk import ECKey

from app.audit.events import Event
from app.kit.settings import Settings
from app.models.parties import Role, Zone
from app.parties.seed import OPERATOR
from tests.bound import asked
from tests.conftest import ISSUER
from tests.oauth.senders import TOKEN_PATH, proof
from tests.policy.zoned import LISTENERS, listeners
from tests.world import KENKO, SAKAI, Party, World

DATASET: Final = "livelihood-support"
RECORDS: Final = f"/v1/datasets/{DATASET}/records"
SCOPE: Final = f"dataset:{DATASET}:read"
PURPOSE: Final = "welfare"
ASKED: Final = {"purpose": PURPOSE}
FORGED: Final = {
    "X-Zone": "lgwan",
    "X-Urbanos-Zone": "lgwan",
    "X-Forwarded-Host": "lgwan.example.jp",
    "X-Forwarded-For": "10.0.0.1",
    "Forwarded": "for=10.0.0.1;host=lgwan.example.jp;proto=https",
}
QUOTA: Final = 4
WITHIN_S: Final = 2.0


@pytest.fixture(scope="module")
def settings(tmp_path_factory: pytest.TempPathFactory) -> Settings:
    home: Path = tmp_path_factory.mktemp("home")
    return Settings(home=home, public_url=ISSUER, listeners=LISTENERS)


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def at(
    app: FastAPI, settings: Settings, database_url: str
) -> AsyncIterator[dict[Zone, httpx.AsyncClient]]:
    async with listeners(app, settings, database_url) as asking:
        yield asking


async def sign_in(door: httpx.AsyncClient, party: Party, scope: str) -> dict[str, str]:
    """A token for what is not read here."""
    answer, headers = await asked(door, party.issuer, party.form(scope))
    assert answer.status_code == 200, answer.text
    return headers


async def bound(door: httpx.AsyncClient, party: Party, key: ECKey, **more: str) -> httpx.Response:
    """Asks for a token to read with, bound to a key."""
    headers = {"DPoP": proof(key, "POST", TOKEN_PATH), **more}
    return await door.post(TOKEN_PATH, data=party.form(SCOPE), headers=headers)


async def read(door: httpx.AsyncClient, token: str, key: ECKey, **more: str) -> httpx.Response:
    """One read with the token and a fresh proof."""
    shown = proof(key, "GET", RECORDS, token=token)
    headers = {"Authorization": f"DPoP {token}", "DPoP": shown, **more}
    return await door.get(RECORDS, params=ASKED, headers=headers)


async def publish(door: httpx.AsyncClient, keeper: Party) -> dict[str, str]:
    """The health bureau enters its dataset for LGWAN and writes to it; its token."""
    headers = await sign_in(door, keeper, "catalogue:write agreements:write")
    entry = {
        "id": DATASET,
        "title_ja": "生活支援の相談（架空）",
        "steward": {"name": "健康局"},
        "data_class": "restricted",
        "zone": "lgwan",
        "update_frequency": "irregular",
        "fields": [
            {"name": "no", "label": "番号", "type": "code", "key": True},
            {"name": "ward", "label": "区", "type": "text"},
        ],
    }
    made = await door.post("/v1/datasets", json=entry, headers=headers)
    assert made.status_code == 201, made.text
    writing = await sign_in(door, keeper, f"dataset:{DATASET}:write")
    sent = await door.post(RECORDS, json=[{"no": "1", "ward": "堺区"}], headers=writing)
    assert sent.status_code == 200, sent.text
    return headers


async def agree(door: httpx.AsyncClient, ward: Party, steward: dict[str, str]) -> str:
    """The ward asks, the steward of the bureau approves; the agreement's id."""
    headers = await sign_in(door, ward, "agreements:write")
    body = {"dataset": DATASET, "purpose": PURPOSE, "legal_basis": "生活困窮者自立支援法"}
    request = await door.post("/v1/access-requests", json=body, headers=headers)
    assert request.status_code == 201, request.text
    where = f"/v1/access-requests/{request.json()['id']}/approve"
    approved = await door.post(where, json={}, headers=steward)
    assert approved.status_code == 201, approved.text
    agreement: str = approved.json()["id"]
    return agreement


def life_left(token: str) -> float:
    """How much of its life a token still has."""
    part = token.split(".")[1]
    claims = json.loads(base64.urlsafe_b64decode(part + "=" * (-len(part) % 4)))
    return float((claims["exp"] - time.time()) / (claims["exp"] - claims["iat"]))


async def seconds_until_refused(
    door: httpx.AsyncClient, token: str, key: ECKey
) -> tuple[float, httpx.Response]:
    began = time.monotonic()
    while (answer := await read(door, token, key)).status_code in (200, 429):
        assert time.monotonic() - began < 5 * WITHIN_S
    return time.monotonic() - began, answer


async def test_a_copied_key_opens_nothing_on_the_internet_and_an_ended_agreement_nothing_at_all(
    world: World, at: dict[Zone, httpx.AsyncClient]
) -> None:
    internet, lgwan = at[Zone.INTERNET], at[Zone.LGWAN]
    ward = await world.party(SAKAI, Role.DEVELOPER, zone=Zone.LGWAN)
    keeper = await world.party(KENKO, Role.STEWARD, zone=Zone.LGWAN)
    outside = await world.party(KENKO, Role.STEWARD)
    operator = await world.party(OPERATOR, Role.OPERATOR, Role.AUDITOR)

    # 1. The bureau's data, agreed on with the ward: in LGWAN, as both of them are.
    steward = await publish(lgwan, keeper)
    agreement = await agree(lgwan, ward, steward)
    key = ECKey.generate_key("P-256")
    granted = await bound(lgwan, ward, key)
    token = granted.json()["access_token"]
    inside = await read(lgwan, token, key)
    assert inside.json()["records"] == [{"no": "1", "ward": "堺区"}]

    # 2. Somebody copied the ward's key, and its token with the key of that too.
    rogue = [await bound(internet, ward, key), await bound(internet, ward, key, **FORGED)]
    stolen = [await read(internet, token, key), await read(internet, token, key, **FORGED)]
    without = await internet.get(RECORDS, params=ASKED, headers=FORGED)
    as_bearer = await lgwan.get(RECORDS, headers={"Authorization": f"Bearer {token}"})
    another_key = await read(lgwan, token, ECKey.generate_key("P-256"))
    assert [(each.status_code, each.json()["error"]) for each in rogue] == [
        (400, "unauthorized_client")
    ] * 2
    assert [(each.status_code, each.json()["code"]) for each in stolen] == [
        (401, "invalid_token")
    ] * 2
    assert (without.status_code, without.json()["code"]) == (403, "zone_not_allowed")
    assert (as_bearer.status_code, another_key.status_code) == (401, 401)

    # 3. The operator allows the ward so many reads a minute, and they are used up.
    admin = await sign_in(internet, operator, "admin:write audit:read")
    quota = {"client_id": ward.id, "dataset_id": DATASET, "requests_per_minute": QUOTA}
    put = await internet.put("/v1/admin/quotas", json=quota, headers=admin)
    assert put.status_code == 200, put.text
    reads = await until_quota(lgwan, token, key)
    refused = reads[-1]
    assert refused.json()["code"] == "quota_exceeded"
    assert int(refused.headers["Retry-After"]) >= 1
    assert '"client-dataset";r=0' in refused.headers["RateLimit"]

    # 4. The bureau ends the agreement elsewhere, with most of the token's life still ahead.
    revoking = await sign_in(internet, outside, "agreements:write")
    ended = await internet.post(
        f"/v1/agreements/{agreement}/revoke", json={"reason": "目的外利用の疑い"}, headers=revoking
    )
    seconds, after = await seconds_until_refused(lgwan, token, key)
    again = await bound(lgwan, ward, key)
    assert ended.status_code == 200, ended.text
    assert seconds <= WITHIN_S
    assert life_left(token) > 0.8
    assert (after.status_code, after.json()["code"]) == (403, "agreement_revoked")
    assert (again.status_code, again.json()["error"]) == (400, "invalid_scope")

    # 5. The log tells all of it, in order, and that nobody changed it.
    told = await log_of(internet, admin)
    verdict = await internet.get("/v1/admin/audit/verify", headers=admin)
    assert told == [
        (Event.RECORDS_READ, ward.id, None),
        *[(Event.TOKEN_REFUSED, ward.id, "zone")] * 2,
        *[(Event.CALL_REFUSED, ward.id, "zone")] * 2,
        (Event.RECORDS_REFUSED, None, "zone_not_allowed"),
        (Event.CALL_REFUSED, None, "scheme"),  # nothing proves whose these were
        (Event.CALL_REFUSED, None, "proof_key"),
        (Event.QUOTA_SET, ward.id, None),
        *[(Event.RECORDS_READ, ward.id, None)] * (len(reads) - 1),
        (Event.RECORDS_REFUSED, ward.id, "quota_exceeded"),
        (Event.AGREEMENT_CHANGED, None, None),
        (Event.RECORDS_REFUSED, ward.id, "agreement_revoked"),
        (Event.TOKEN_REFUSED, ward.id, "nothing_granted"),
    ]
    assert verdict.json()["is_whole"]


async def until_quota(door: httpx.AsyncClient, token: str, key: ECKey) -> list[httpx.Response]:
    """Reads until one is refused: every replica knows a quota within two seconds."""
    reads = [await read(door, token, key)]
    until = time.monotonic() + 5 * WITHIN_S
    while reads[-1].status_code == 200 and time.monotonic() < until:
        reads.append(await read(door, token, key))
    return reads


async def log_of(door: httpx.AsyncClient, auditor: dict[str, str]) -> list[tuple[Any, ...]]:
    """What an auditor sees of this, oldest first: what happened, to whom, and why."""
    answer = await door.get("/v1/admin/audit", params={"limit": 1_000}, headers=auditor)
    assert answer.status_code == 200, answer.text
    entries = [each["facts"] for each in reversed(answer.json()["items"])]
    kept = (
        Event.RECORDS_READ, Event.RECORDS_REFUSED, Event.TOKEN_REFUSED, Event.CALL_REFUSED,
        Event.QUOTA_SET, Event.AGREEMENT_CHANGED,
    )  # fmt: skip
    return [
        (each["event"], each.get("client"), each.get("reason") or each.get("why"))
        for each in entries
        if each["event"] in kept
    ]
