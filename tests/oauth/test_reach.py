"""What a token reaches: above internal only one that is bound to whom it was given to, by any door."""

from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import httpx
import pytest
import pytest_asyncio
from fastapi import FastAPI

from app.audit.events import Event
from app.cli.serving import _config
from app.kit.settings import Settings
from app.main import create_entrance
from app.models.parties import Role
from app.policy import rules
from app.policy.facts import Caller
from tests.bound import asked
from tests.conftest import ISSUER
from tests.oauth.certificates import Authority, Shown, form, registered
from tests.oauth.senders import TOKEN_PATH, under
from tests.rows.test_doors import DOORS, addresses, text_of
from tests.rows.town import Town, town
from tests.serving import serving_as
from tests.stock import PURPOSE, agreed, path, stocked
from tests.versioned import FILE, base
from tests.world import KENKO, SAKAI, World

pytestmark = pytest.mark.usefixtures("worker")

CLASSES: Final = ("public", "internal", "restricted", "personal", "specific-personal")
WAYS: Final = ("secret", "bearer", "key", "certificate")
BOUND: Final = ("key", "certificate")
NAME: Final = "app.city.test"
MESSY: Final = "no,name,size\n1,夜間,１\n2,昼間,x\n".encode()  # a cell to repair, and one to reject
ROWS: Final = [{"no": "1", "name": "夜間", "size": 5}]


@pytest.fixture(scope="module")
def settings(tmp_path_factory: pytest.TempPathFactory) -> Settings:
    """A platform behind a proxy that tells the client's certificate."""
    home: Path = tmp_path_factory.mktemp("home")
    return Settings(
        home=home, public_url=ISSUER, trusted_proxies="127.0.0.1",
        client_certificate_header="client-cert",
    )  # fmt: skip


@pytest.fixture(scope="module")
def shown(tmp_path_factory: pytest.TempPathFactory) -> Shown:
    return Authority(tmp_path_factory.mktemp("authority")).issue(NAME)


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def proxy(app: FastAPI, settings: Settings, shown: Shown) -> AsyncIterator[httpx.AsyncClient]:
    """Asks as the proxy does, for the client with the certificate."""
    config = _config(create_entrance(settings, {settings.zone: app}), settings)
    config.port = 0
    told = {"Client-Cert": shown.sequence, "Accept-Language": "en"}
    async with (
        serving_as(config) as port,
        httpx.AsyncClient(base_url=f"http://127.0.0.1:{port}", headers=told) as asking,
    ):
        yield asking


@dataclass(frozen=True, slots=True)
class Asker:
    """A steward of the publisher, by the way in which it proves who sends its token."""

    http: httpx.AsyncClient
    headers: dict[str, str]

    async def tries(self, dataset: str) -> dict[str, str]:
        """To read, to write and to load a file: `done`, or the code of the refusal."""
        purpose = {"purpose": PURPOSE}
        files = f"{base(dataset)}/versions"
        answers = {
            "read": await self.http.get(path(dataset), params=purpose, headers=self.headers),
            "write": await self.http.post(path(dataset), json=ROWS, headers=self.headers),
            "load": await self.http.post(files, content=FILE, headers=self.headers),
        }
        return {
            what: "done" if answer.is_success else str(answer.json()["code"])
            for what, answer in answers.items()
        }


async def asker(world: World, proxy: httpx.AsyncClient, way: str, dataset: str) -> Asker:
    """Its token is for all that it may have of what the three need."""
    scope = f"catalogue:write dataset:{dataset}:read dataset:{dataset}:write"
    if way == "certificate":
        party = await registered(world, NAME, KENKO, Role.STEWARD)
        answer = await proxy.post(TOKEN_PATH, data=form(party, scope))
        return Asker(proxy, {"Authorization": f"Bearer {answer.json()['access_token']}"})
    party = await world.party(KENKO, Role.STEWARD, by_secret=way == "secret")
    if way == "key":
        _, headers = await asked(world.client, party.issuer, party.form(scope))
        return Asker(world.client, headers)
    if way == "secret":
        data = {"grant_type": "client_credentials", "scope": scope}
        basic = httpx.BasicAuth(party.id, party.secret or "")
        answer = await world.client.post(TOKEN_PATH, data=data, auth=basic)
    else:
        answer = await world.client.post(TOKEN_PATH, data=party.form(scope))
    return Asker(world.client, {"Authorization": f"Bearer {answer.json()['access_token']}"})


def expected(way: str, data_class: str) -> dict[str, str]:
    """The sentence of the rule, cell by cell."""
    if data_class == "specific-personal":
        never = "never_brokered"
        load = {"secret": "client_authentication_too_weak", "bearer": "token_not_bound"}
        return {"read": never, "write": never, "load": load.get(way, "metadata_only")}
    if data_class in ("public", "internal") or way in BOUND:
        return dict.fromkeys(("read", "write", "load"), "done")
    if way == "bearer":
        return dict.fromkeys(("read", "write", "load"), "token_not_bound")
    weak = "client_authentication_too_weak"
    # Of personal data nobody is told more than that, whoever they are.
    records = weak if data_class == "restricted" else "token_not_bound"
    return {"read": records, "write": records, "load": weak}


async def stock(world: World, data_class: str) -> str:
    if data_class == "specific-personal":
        return await world.dataset(data_class=data_class)
    return await stocked(world, ROWS, data_class=data_class)


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("data_class", CLASSES)
async def test_above_internal_only_a_bound_token_of_a_key_or_a_certificate_reaches_anything(
    world: World, proxy: httpx.AsyncClient, data_class: str, way: str
) -> None:
    dataset = await stock(world, data_class)
    steward = await asker(world, proxy, way, dataset)

    found = await steward.tries(dataset)

    assert found == expected(way, data_class)


@pytest.mark.parametrize(("data_class", "way"), [("restricted", "bearer"), ("personal", "secret")])
async def test_a_ceiling_that_does_not_ask_for_a_bond_would_be_noticed_here(
    world: World, proxy: httpx.AsyncClient, monkeypatch: pytest.MonkeyPatch,
    data_class: str, way: str,
) -> None:  # fmt: skip
    def lower(caller: Caller) -> int:
        return rules.RANK["restricted" if way == "bearer" else "personal"]

    monkeypatch.setattr(rules, "ceiling", lower)
    monkeypatch.setattr(rules, "_proven_reach", lambda _client: rules.RANK["personal"])

    with pytest.raises(AssertionError):
        await test_above_internal_only_a_bound_token_of_a_key_or_a_certificate_reaches_anything(
            world, proxy, data_class, way
        )


@pytest.mark.parametrize("language", ["ja", "en"])
async def test_a_scope_that_only_a_bound_token_may_carry_is_refused_with_how_to_get_one(
    world: World, language: str
) -> None:
    dataset = await stocked(world, ROWS, data_class="restricted")
    party = await world.party(SAKAI, Role.DEVELOPER)
    agreement, _ = await agreed(world, dataset, party)
    scope = f"dataset:{dataset}:read"
    told = {"Accept-Language": language}

    answers = [
        await world.client.post(TOKEN_PATH, data=party.form(scope, **more), headers=told)
        for more in ({}, {"authorization_details": under(agreement)})
    ]

    errors = [answer.json()["error"] for answer in answers]
    assert errors == ["invalid_scope", "invalid_authorization_details"]
    name = "error_description_ja" if language == "ja" else "error_description"
    for answer in answers:
        assert answer.status_code == 400
        assert all(each in answer.json()[name] for each in ("DPoP", "RFC 9449", "RFC 8705"))
    assert [e["why"] for e in await world.log(Event.TOKEN_REFUSED)] == ["unbound"] * 2


async def test_who_may_not_have_it_with_any_bond_is_not_told_to_get_one(world: World) -> None:
    dataset = await stocked(world, ROWS, data_class="restricted")
    stranger = await world.party(SAKAI, Role.DEVELOPER)

    answer = await world.client.post(TOKEN_PATH, data=stranger.form(f"dataset:{dataset}:read"))

    assert answer.json()["error"] == "invalid_scope"
    assert [e["why"] for e in await world.log(Event.TOKEN_REFUSED)] == ["nothing_granted"]


async def test_a_bearer_token_got_for_other_data_says_what_it_lacks(world: World) -> None:
    internal = await stocked(world, ROWS, data_class="internal")
    restricted = await stocked(world, ROWS, data_class="restricted")
    headers = await world.bearer(await world.party(KENKO), f"dataset:{internal}:read")

    answer = await world.client.get(path(restricted), params={"purpose": PURPOSE}, headers=headers)

    assert (answer.status_code, answer.json()["code"]) == (403, "token_not_bound")
    assert all(each in answer.json()["detail"] for each in ("DPoP", "RFC 9449", "RFC 8705"))
    (refused,) = await world.log(Event.RECORDS_REFUSED)
    assert (refused["reason"], refused["dataset"]) == ("token_not_bound", restricted)


async def test_a_field_above_internal_makes_a_public_file_one_for_a_bound_token(
    world: World,
) -> None:
    specs = (("no", "code", {"key": True}), ("name", "text", {"visibility": "restricted"}))
    dataset = await stocked(world, [{"no": "1", "name": "夜間"}], specs)
    steward = await world.party(KENKO, Role.STEWARD)
    bearer = await world.bearer(steward, f"catalogue:write dataset:{dataset}:write")
    where = f"{base(dataset)}/versions"

    refused = await world.client.post(where, content=b"no,name\n2,b\n", headers=bearer)
    wrote = await world.client.post(
        path(dataset), json=[{"no": "1", "name": "昼間"}], headers=bearer
    )
    taken = await world.client.post(
        where, content=b"no,name\n2,b\n", headers=await world.token(steward, "catalogue:write")
    )

    assert (refused.status_code, refused.json()["code"]) == (403, "token_not_bound")
    assert wrote.json()["results"][0]["errors"][0]["code"] == "column_not_visible"
    assert taken.status_code == 202
    (entry,) = await world.log(Event.CALL_REFUSED)
    assert (entry["code"], entry["client"]) == ("token_not_bound", steward.id)


@pytest.fixture
async def messy(world: World) -> dict[str, Any]:
    """The run of a restricted file with a cell that was repaired and a row that was not taken."""
    dataset = await stocked(world, [], data_class="restricted")
    steward = await world.token(await world.party(KENKO, Role.STEWARD), "catalogue:write")
    return await world.load(steward, dataset, MESSY)


async def test_what_a_run_tells_of_rows_is_told_to_bound_tokens_only(
    world: World, messy: dict[str, Any]
) -> None:
    run = f"/v1/runs/{messy['id']}"
    source = f"{base(messy['dataset_id'])}/versions/{messy['version_number']}/source"
    steward = await world.party(KENKO, Role.STEWARD)
    bearer = await world.bearer(steward, "catalogue:write")
    bound = await world.token(steward, "catalogue:write")
    told = (f"{run}/rejects", f"{run}/rejects.csv", f"{run}/repairs", f"{run}/repairs/summary")

    refused = [await world.client.get(each, headers=bearer) for each in (*told, source)]
    given = [await world.client.get(each, headers=bound) for each in (*told, source)]

    assert {(each.status_code, each.json()["code"]) for each in refused} == {
        (403, "token_not_bound")
    }
    assert [each.status_code for each in given] == [200] * 5
    assert (await world.client.get(run, headers=bearer)).json()["rows_rejected"] == 1


@pytest.fixture(scope="module")
async def restricted(app: FastAPI, client: httpx.AsyncClient, worker: None) -> Town:
    """Two versions of a restricted dataset, and an agreement on every row of it."""
    return await town(World(app.state.platform, client), None, data_class="restricted")


async def test_no_door_gives_a_record_of_restricted_data_to_a_bearer_token(
    world: World, restricted: Town
) -> None:
    other = await stocked(world, ROWS, data_class="internal")
    steward = await world.party(KENKO, Role.STEWARD)
    bearer = await world.bearer(steward, f"catalogue:write dataset:{other}:read")
    own = await world.token(
        steward, f"catalogue:write dataset:{restricted.dataset}:read dataset:{other}:read"
    )

    giving = set()
    for where, query in ((each, query) for each in DOORS for query in ends(DOORS[each])):
        for address in dict.fromkeys(addresses(where, restricted.dataset)):
            refused, given = [
                text_of(await world.client.get(address, params=query, headers=headers))
                for headers in (bearer, own)
            ]
            assert not tells(refused), (address, refused)
            giving |= {where} if tells(given) else set()

    kept = ("/changes", "/diff", "/records", "/items", "/aggregate", "/source", ":path}")
    assert giving == {each for each in DOORS if each.endswith(kept)}


def ends(queries: list[dict[str, str]]) -> Iterator[dict[str, str]]:
    """The first way to ask and the last, for the purpose and without one: some doors know none."""
    for query in (queries[0], queries[-1]):
        yield from (query, {**query, "purpose": PURPOSE})


def tells(text: str) -> bool:
    """Whether there is a value of a record that no address names."""
    return any(value in text for value in ("aoba", "hisui", "kohaku", "770033"))
