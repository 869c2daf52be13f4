"""Zones, asked over real sockets: three places keep data in, each of them without the others."""

from collections.abc import AsyncIterator, Callable
from itertools import product
from pathlib import Path
from typing import Any, Final

import httpx
import pytest
import pytest_asyncio
from fastapi import FastAPI

from app.agreements import negotiation, requests
from app.api import reach
from app.audit.events import Event
from app.kit.settings import Settings
from app.models.parties import Role, Zone
from app.oauth import tokens
from app.oauth.grants import TokenEndpoint
from app.oauth.refusals import InvalidClient
from app.policy.facts import ClientFacts
from tests.conftest import ISSUER
from tests.policy.test_rules_as_data import without
from tests.policy.zoned import CLASSES, LISTENERS, MARK, ZONES, Town, listeners, moved
from tests.stock import PURPOSE, path
from tests.world import KENKO, SAKAI, World

Patch = pytest.MonkeyPatch
At = dict[Zone, httpx.AsyncClient]
INTERNET, LGWAN = Zone.INTERNET, Zone.LGWAN


@pytest.fixture(scope="module")
def settings(tmp_path_factory: pytest.TempPathFactory) -> Settings:
    home: Path = tmp_path_factory.mktemp("home")
    return Settings(home=home, public_url=ISSUER, listeners=LISTENERS)


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def at(app: FastAPI, settings: Settings, database_url: str) -> AsyncIterator[At]:
    async with listeners(app, settings, database_url) as asking:
        yield asking


def no_approval(patch: Patch) -> None:
    """Approval no longer looks at zones."""

    async def anywhere(*_: Any) -> None:
        return

    patch.setattr(requests, "require_zone", anywhere)
    patch.setattr(negotiation, "require_zone", anywhere)


def no_issue(patch: Patch) -> None:
    """Neither who gets a token, nor for what, nor where one is taken is a matter of zones."""

    def unless_revoked(_self: TokenEndpoint, client: ClientFacts) -> None:
        if client.revoked:
            raise InvalidClient("revoked", client=client.client_id)

    require = tokens._require
    patch.setattr(TokenEndpoint, "_check_client", unless_revoked)
    patch.setattr(reach, "_keeps_zone", lambda *_: True)
    patch.setattr(
        tokens, "_require", lambda holds, why, *more: require(holds or why == "zone", why, *more)
    )


def no_broker(patch: Patch) -> None:
    """The rules that the broker judges by no longer know zones."""
    without(patch, "GATES", "zone")


POINTS: Final[dict[str, Callable[[Patch], None]]] = {
    "none": lambda _: None, "broker": no_broker, "issue": no_issue, "approval": no_approval
}  # fmt: skip


def may_leave(data_class: str, of: Zone, client: Zone | None, at: Zone) -> bool:
    """The sentence of the rule: data stays in its zone, open data of the internet is for all."""
    if client is None:
        return (data_class == "public" and at is of) or (data_class, of) == ("public", INTERNET)
    if data_class == "specific-personal" or client is not at:
        return False
    return of is client or (data_class, of) == ("public", INTERNET)


async def test_with_any_one_place_gone_the_other_two_keep_all_data_in_its_zone(
    world: World, at: At, monkeypatch: Patch
) -> None:
    town = await Town.make(world, at)
    wanted = {cell for cell in product(CLASSES, ZONES, (None, *ZONES), ZONES) if may_leave(*cell)}
    agreed = await town.agree()
    left = {}

    for place, disable in POINTS.items():
        with monkeypatch.context() as patch:
            disable(patch)
            if place == "approval":
                astray = await town.agree()
            left[place] = await town.left()

    assert {cell for cell in agreed if cell[1] is not cell[2]} == set()
    assert len(astray) == 4 * 6  # every class but one, across each border
    assert left["none"] == left["approval"] == wanted
    # Open data is everybody's, also with a token that should have been none.
    assert {cell for cell in left["issue"] - wanted if cell[:2] != ("public", INTERNET)} == set()
    # What is public in its zone needs neither agreement nor token: that is the broker's alone.
    assert {cell for cell in left["broker"] - wanted if cell[0] != "public"} == set()
    assert all(wanted <= each for each in left.values())


async def _agreed_across(world: World, at: At) -> bool:
    """Whether a client of the internet is given an agreement for its body's clients in LGWAN."""
    dataset = await moved(world, "internal", LGWAN)
    headers = await world.token(await world.party(SAKAI, Role.DEVELOPER), "agreements:write")
    body = {"dataset": dataset, "purpose": PURPOSE, "legal_basis": "試験"}

    answer = await at[INTERNET].post("/v1/access-requests", json=body, headers=headers)

    assert answer.status_code == 201 or answer.json()["code"] == "zone_not_allowed"
    return answer.status_code == 201


async def _log_read(world: World, at: At) -> bool:
    """Whether a key of LGWAN gets a token on the internet for what is no dataset, and uses it."""
    rogue = await world.party(KENKO, Role.AUDITOR, zone=LGWAN)
    granted = await at[INTERNET].post("/oauth/token", data=rogue.form("audit:read"))
    if granted.status_code != 200:
        assert granted.json()["error"] == "unauthorized_client"
        return False
    shown = {"Authorization": f"Bearer {granted.json()['access_token']}"}
    return (await at[INTERNET].get("/v1/admin/audit", headers=shown)).status_code == 200


async def _read_by_nobody(world: World, at: At) -> bool:
    """Whether public data of LGWAN is given on the internet to who needs no token for it."""
    dataset = await moved(world, "public", LGWAN)

    answer = await at[INTERNET].get(path(dataset))

    assert MARK in answer.text or answer.json()["code"] == "zone_not_allowed"
    return MARK in answer.text


@pytest.mark.parametrize("gone", POINTS)
async def test_each_place_stops_something_that_the_other_two_let_by(
    world: World, at: At, monkeypatch: Patch, gone: str
) -> None:
    cases = {"approval": _agreed_across, "issue": _log_read, "broker": _read_by_nobody}
    POINTS[gone](monkeypatch)

    passed = {place for place, case in cases.items() if await case(world, at)}

    assert passed == ({gone} - {"none"})


async def test_a_token_of_another_zone_is_no_token_here_and_the_log_says_whose_it_is(
    world: World, at: At
) -> None:
    rogue = await world.party(KENKO, Role.AUDITOR, zone=LGWAN)
    granted = await at[LGWAN].post("/oauth/token", data=rogue.form("audit:read"))
    shown = {"Authorization": f"Bearer {granted.json()['access_token']}"}
    forged = {"X-Zone": "lgwan", "X-Forwarded-Host": "lgwan.example.jp", "Forwarded": "host=lgwan"}

    inside = await at[LGWAN].get("/v1/admin/audit", headers=shown)
    outside = [
        await at[INTERNET].get("/v1/admin/audit", headers={**shown, **more})
        for more in ({}, forged)
    ]

    assert inside.status_code == 200
    for answer in outside:
        assert (answer.status_code, answer.json()["code"]) == (401, "invalid_token")
        assert 'error="invalid_token"' in answer.headers["www-authenticate"]
    refused = await world.log(Event.CALL_REFUSED)
    assert [(entry["client"], entry["why"]) for entry in refused] == [(rogue.id, "zone")] * 2
