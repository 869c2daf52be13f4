"""A strict client written by others (npm oauth4webapi) uses the authorization server unmodified."""

import asyncio
import json
import os
import shutil
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
from fastapi import FastAPI

from app.kit.settings import Settings
from app.models.parties import Role
from tests.bench.stage import free_port
from tests.serving import served
from tests.world import KENKO, World

_PACKAGE = "oauth4webapi@3.8.8"
_SCRIPT = Path(__file__).with_name("strict_client.mjs")


@pytest.fixture(scope="module")
def settings(tmp_path_factory: pytest.TempPathFactory) -> Settings:
    """A server whose issuer is the address that it is reached at: the client compares them."""
    home = tmp_path_factory.mktemp("home")
    return Settings(home=home, public_url=f"http://127.0.0.1:{free_port()}")


async def _run(*command: str, told: bytes = b"") -> bytes:
    process = await asyncio.create_subprocess_exec(
        *command,
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
        env={**os.environ, "NODE_NO_WARNINGS": "1"},
    )
    out, err = await asyncio.wait_for(process.communicate(told), 90)
    assert process.returncode == 0, err.decode()
    return out


async def test_a_strict_client_gets_uses_binds_introspects_and_revokes_tokens(
    app: FastAPI, settings: Settings, world: World, tmp_path: Path
) -> None:
    npm, node = shutil.which("npm"), shutil.which("node")
    assert npm and node, "Node.js is needed: apt install nodejs npm (make test does it as root)"
    await _run(npm, "install", "--silent", "--no-save", "--prefix", str(tmp_path), _PACKAGE)
    party = await world.party(KENKO, Role.STEWARD)
    dataset = await world.dataset(KENKO)
    task = {
        "packages": str(tmp_path),
        "issuer": settings.issuer,
        "client": party.id,
        "jwk": party.key.as_dict(private=True),
        "kid": party.key.thumbprint(),
        "scope": f"dataset:{dataset}:read",
        "address": f"{settings.issuer}/v1/datasets/{dataset}/records?purpose=own-duty",
    }

    async with served(app, urlsplit(settings.issuer).port or 0):
        told: dict[str, Any] = json.loads(
            await _run(node, str(_SCRIPT), told=json.dumps(task).encode())
        )

    assert (told["issuer"], told["resource"]) == (settings.issuer, settings.issuer)
    assert told["bearer"]["scope"] == told["bound"]["scope"] == task["scope"]
    # The dataset has no version yet: who is refused gets 401 or 403 before that is told.
    assert told["status_bearer"] == told["status_bound"] == 404
    assert told["token_type"].lower() == "dpop"
    assert told["introspected"]["active"] and told["introspected"]["client_id"] == party.id
    assert told["after_revocation"] == {"active": False}
    assert told["status_revoked"] == 401
