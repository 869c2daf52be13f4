"""Real providers of others for the sign-in's tests, and a browser that goes between them and us."""

import asyncio
import json
import os
import shutil
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import httpx
from joserfc.jwk import ECKey, RSAKey

_PACKAGE = "oidc-provider@9.13.3"
_SCRIPT = Path(__file__).with_name("providers.mjs")


@dataclass(slots=True)
class External:
    """One provider of others, and its people by login."""

    issuer: str
    client: dict[str, Any]
    people: dict[str, dict[str, Any]]
    algorithm: str = "ES256"
    claims_at_userinfo: bool = False

    def task(self) -> dict[str, Any]:
        key = (
            ECKey.generate_key("P-256") if self.algorithm == "ES256" else RSAKey.generate_key(2048)
        )
        its = {"kid": key.thumbprint(), "use": "sig", "alg": self.algorithm}
        told = {
            "require_auth_time": True,
            "default_acr_values": ["urn:example:mfa"],
            "id_token_signed_response_alg": self.algorithm,
        }
        return {
            "issuer": self.issuer,
            "client": {**told, **self.client},
            "people": self.people,
            "key": {**key.as_dict(private=True), **its},
            "claims_at_userinfo": self.claims_at_userinfo,
        }


@asynccontextmanager
async def running(folder: Path, providers: list[External]) -> AsyncIterator[None]:
    """The providers, each at its issuer's port, until the block ends."""
    npm, node = shutil.which("npm"), shutil.which("node")
    assert npm and node, "Node.js is needed: apt install nodejs npm (make test does it as root)"
    install = await asyncio.create_subprocess_exec(
        npm, "install", "--silent", "--no-save", "--prefix", str(folder), _PACKAGE
    )
    assert await asyncio.wait_for(install.wait(), 90) == 0
    process = await asyncio.create_subprocess_exec(
        node,
        str(_SCRIPT),
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.DEVNULL,
        env={**os.environ, "NODE_NO_WARNINGS": "1"},
    )
    assert process.stdin and process.stdout
    try:
        task = {"packages": str(folder), "providers": [each.task() for each in providers]}
        process.stdin.write(json.dumps(task).encode())
        process.stdin.close()
        assert await asyncio.wait_for(process.stdout.readline(), 30) == b"ready\n"
        yield
    finally:
        if process.returncode is None:
            process.kill()
        await process.wait()


@dataclass(slots=True)
class Browser:
    """One browser: its cookies at the platform and at the providers are kept apart."""

    here: httpx.AsyncClient
    there: httpx.AsyncClient = field(default_factory=httpx.AsyncClient)

    async def begin(self, provider: str, return_to: str = "/account") -> str:
        """The provider's address that the platform sends this browser to."""
        sent = await self.here.get(f"/sign-in/with/{provider}", params={"return_to": return_to})
        assert sent.status_code == 303, sent.text
        return sent.headers["location"]

    async def at_provider(self, address: str, login: str) -> str:
        """What the provider sends this browser back to, once somebody signed in there."""
        answer = await self.there.get(address)
        ours = urlsplit(str(self.here.base_url)).netloc
        for _ in range(8):
            if answer.status_code == 200:
                answer = await self.there.post(str(answer.url), data={"login": login})
            where = answer.headers["location"]
            if urlsplit(where).netloc == ours:
                return where
            answer = await self.there.get(httpx.URL(str(answer.url)).join(where))
        raise AssertionError("the provider does not send back")

    async def sign_in(
        self, provider: str, login: str, return_to: str = "/account"
    ) -> httpx.Response:
        """The platform's answer to the whole way through the provider."""
        address = await self.begin(provider, return_to)
        return await self.here.get(await self.at_provider(address, login))
