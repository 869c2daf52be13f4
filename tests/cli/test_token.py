"""`urbanos token`: what it asks a server for, and what curl is given to send."""

import asyncio
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx
import pytest
from typer.testing import CliRunner, Result

from app.cli.main import app
from app.cli.token import TokenRefused
from app.models.parties import Role
from tests.conftest import ISSUER
from tests.oauth.test_one_agreement import ROWS, stocked_by_sender
from tests.stock import PURPOSE, agreed, path
from tests.world import SAKAI, Party, World

Run = Callable[..., Any]


class _ToTheWorld(httpx.BaseTransport):
    """Carries what a thread sends to the application in the loop of the test."""

    def __init__(self, world: World, loop: asyncio.AbstractEventLoop) -> None:
        self.world, self.loop = world, loop

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        request.read()
        sent = self.world.client.request(
            request.method, request.url, content=request.content, headers=request.headers
        )
        answer = asyncio.run_coroutine_threadsafe(sent, self.loop).result(10)
        return httpx.Response(answer.status_code, json=answer.json())


@pytest.fixture
def run(world: World, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Run:
    """The command as a party gives it, at the world's server."""
    real = httpx.Client

    async def run(party: Party, *words: str) -> Result:
        key = tmp_path / "key.jwk"
        key.write_text(json.dumps(party.key.as_dict(private=True)), "utf-8")
        carried = _ToTheWorld(world, asyncio.get_running_loop())
        monkeypatch.setattr(httpx, "Client", lambda **how: real(transport=carried, **how))
        who = ("token", "--client", party.id, "--key", str(key), "--url", ISSUER)
        return await asyncio.to_thread(CliRunner().invoke, app, [*who, *words])

    return run


def headers_of(done: Result) -> dict[str, str]:
    """The lines as `curl -H @-` reads them."""
    assert done.exit_code == 0, done.output
    return dict(line.split(": ", 1) for line in said(done).splitlines())


def said(done: Result) -> str:
    """What the command says; the server of the test logs beside it."""
    return "\n".join(line for line in done.stdout.splitlines() if "[info" not in line)


async def test_personal_data_is_read_from_the_shell(world: World, run: Run) -> None:
    dataset = await stocked_by_sender(world)
    party = await world.party(SAKAI, Role.DEVELOPER)
    agreement, _ = await agreed(world, dataset, party)
    url = f"{ISSUER}{path(dataset)}?purpose={PURPOSE}"

    done = await run(
        party, "--scope", f"dataset:{dataset}:read", "--agreement", agreement, "--dpop", "get", url
    )
    first = await world.client.get(url, headers=headers_of(done))
    again = await world.client.get(url, headers=headers_of(done))

    assert first.json()["records"] == ROWS
    assert (again.status_code, again.json()["code"]) == (401, "invalid_dpop_proof")


@pytest.mark.parametrize("address", ["{path}", "http://localhost:8000{path}", ISSUER + "{path}"])
async def test_a_call_is_proven_by_whichever_name_the_server_is_called(
    world: World, run: Run, address: str
) -> None:
    dataset = await stocked_by_sender(world, data_class="internal")
    party = await world.party()
    where = address.format(path=f"{path(dataset)}?purpose=own-duty")

    done = await run(party, "--scope", f"dataset:{dataset}:read", "--dpop", "GET", where)
    answer = await world.client.get(
        path(dataset), params={"purpose": "own-duty"}, headers=headers_of(done)
    )

    assert answer.status_code == 200, answer.text


async def test_without_a_call_it_is_a_bearer_token_of_every_scope_that_was_given(
    world: World, run: Run
) -> None:
    party = await world.party(SAKAI, Role.STEWARD, Role.DEVELOPER)
    words = ("--scope", "catalogue:write agreements:write", "--scope", "dataset:none:read")

    done = await run(party, *words, "--json")

    answer = json.loads(said(done))
    assert (answer["token_type"], "proof" in answer) == ("Bearer", False)
    assert answer["scope"].split() == ["catalogue:write", "agreements:write"]


async def test_a_refusal_that_a_bound_token_mends_says_how_to_ask_for_one(
    world: World, run: Run
) -> None:
    dataset = await stocked_by_sender(world, data_class="restricted")
    party = await world.party()
    scope = f"dataset:{dataset}:read"
    where = f"{path(dataset)}?purpose=own-duty"

    without = await run(party, "--scope", scope)
    done = await run(party, "--scope", scope, "--dpop", "GET", where)
    answer = await world.client.get(where, headers=headers_of(done))

    assert isinstance(without.exception, TokenRefused)
    assert without.exception.named["error"] == "invalid_scope"
    assert "DPoP" in without.exception.words("en")
    assert "--dpop METHOD URL" in without.stderr
    assert answer.status_code == 200, answer.text


@pytest.mark.parametrize("call", [("/v1/datasets", "GET"), ("GET", "v1/datasets")])
async def test_a_call_that_is_none_is_a_usage_error(
    world: World, run: Run, call: tuple[str, str]
) -> None:
    done = await run(await world.party(), "--scope", "catalogue:write", "--dpop", *call)

    assert done.exit_code == 2
    assert "--dpop" in done.output
