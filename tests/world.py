"""Makes the things that tests are about; a test names only what matters to it."""

import asyncio
import secrets
import time
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

import httpx
from joserfc import jwt
from joserfc.jwk import ECKey

from app.api.state import Platform
from app.audit.events import Event
from app.audit.reading import list_entries
from app.models.datasets import Dataset
from app.models.parties import AuthMethod, Role, Zone
from app.parties import clients
from app.signin import providers
from tests import bound

ASSERTION_TYPE = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"
KENKO = "271004-kenko"
SAKAI = "271403"


@dataclass(frozen=True, slots=True)
class Party:
    """A client of a test, with what proves it."""

    id: str
    organization_id: str
    issuer: str
    key: ECKey
    secret: str | None = None

    def assertion(
        self,
        *,
        header: dict[str, Any] | None = None,
        key: Any = None,
        without: tuple[str, ...] = (),
        **claims: Any,
    ) -> str:
        """A client assertion that is right but for what is named."""
        now = int(time.time())
        full = {
            "iss": self.id,
            "sub": self.id,
            "aud": self.issuer,
            "iat": now,
            "exp": now + 50,
            "jti": secrets.token_hex(8),
            **claims,
        }
        for name in without:
            del full[name]
        head = {"alg": "ES256", "kid": self.key.thumbprint(), **(header or {})}
        return jwt.encode(head, full, key or self.key, algorithms=[head["alg"]])

    def form(self, scope: str, **more: str) -> dict[str, str]:
        """A token request that is right but for what is named."""
        return {
            "grant_type": "client_credentials",
            "scope": scope,
            "client_assertion_type": ASSERTION_TYPE,
            "client_assertion": self.assertion(),
            **more,
        }


def _leads_to_data(scope: str) -> bool:
    return "dataset:" in scope or "catalogue:" in scope


def _check_granted(answer: httpx.Response, scope: str) -> None:
    assert answer.status_code == 200, answer.text
    assert answer.json()["scope"] == scope


@dataclass(slots=True)
class World:
    """One test's world. What it makes has random names, so that tests share a database."""

    platform: Platform
    client: httpx.AsyncClient
    first: int = field(default=0)

    async def start(self) -> None:
        """Remember where the log ends now."""
        newest = await list_entries(self.platform.database.pool, limit=1)
        self.first = newest[0].seq if newest else 0

    async def party(
        self,
        organization: str = KENKO,
        *roles: Role,
        zone: Zone = Zone.INTERNET,
        by_secret: bool = False,
    ) -> Party:
        """A client of an organisation."""
        key = ECKey.generate_key("P-256")
        method = AuthMethod.CLIENT_SECRET_BASIC if by_secret else AuthMethod.PRIVATE_KEY_JWT
        new = clients.NewClient(
            organization_id=organization,
            name="試験",
            auth_method=method,
            roles=roles,
            zone=zone,
            jwks=None if by_secret else {"keys": [key.as_dict(private=False)]},
        )
        async with self.platform.database.writing() as session:
            added = await clients.add(session, new, by="test")
        self.platform.live.changed("client", added.client.id)
        issuer = self.platform.issuer
        return Party(added.client.id, added.client.organization_id, issuer, key, added.secret)

    async def provider(self, issuer: str | None = None) -> str:
        """An identity provider of Osaka's for mail addresses of `<id>.example.jp`; its id."""
        name = f"idp-{secrets.token_hex(4)}"
        vouching = providers.Vouching([f"{name}.example.jp"])
        new = providers.NewProvider(
            name, "271004", "試験", issuer or f"https://{name}.example.jp", "urban-os", vouching,
            secret="s" * 32,
        )  # fmt: skip
        async with self.platform.database.writing() as session:
            await providers.add(session, self.platform.sealer, new, by="test")
        return name

    async def token(self, party: Party, scope: str) -> dict[str, str]:
        """The Authorization header with a fresh token of the party.

        Where its scope leads to data it is bound to a key, which the hook of the tests' clients
        proves with each request.
        """
        if not _leads_to_data(scope):
            return await self.bearer(party, scope)
        return await self.bound(party, scope)

    async def bound(self, party: Party, scope: str) -> dict[str, str]:
        """The same, with a token that is bound to a key whatever its scope."""
        answer, headers = await bound.asked(self.client, party.issuer, party.form(scope))
        _check_granted(answer, scope)
        return headers

    async def bearer(self, party: Party, scope: str) -> dict[str, str]:
        """The same, with a token that is bound to nothing."""
        response = await self.client.post("/oauth/token", data=party.form(scope))
        _check_granted(response, scope)
        return {"Authorization": f"Bearer {response.json()['access_token']}"}

    async def dataset(
        self,
        publisher: str = KENKO,
        *,
        data_class: str = "restricted",
        columns: tuple[str, ...] = ("name", "capacity"),
        zone: str = "internet",
        hidden: bool = False,
        fields: list[dict[str, Any]] | None = None,
    ) -> str:
        """A catalogue entry without records; its id."""
        dataset_id = f"d-{secrets.token_hex(5)}"
        now = datetime.now(UTC)
        declared = fields or [
            {"name": name, "column": name, "label": name, "type": "text"} for name in columns
        ]
        async with self.platform.database.writing() as session:
            session.add(
                Dataset(
                    id=dataset_id,
                    title_ja="試験",
                    publisher_id=publisher,
                    steward_name="試験",
                    data_class=data_class,
                    zone=zone,
                    update_frequency="irregular",
                    themes=[],
                    hidden=hidden,
                    fields=declared,
                    state="active",
                    search_text="",
                    created_at=now,
                    created_by="test",
                    modified_at=now,
                )
            )
        self.platform.live.changed("dataset", dataset_id)
        return dataset_id

    async def log(self, *events: Event) -> list[dict[str, Any]]:
        """What the log says since the test began, oldest first; only `events` where named."""
        found = await list_entries(self.platform.database.pool, limit=10_000)
        mine = [entry.facts for entry in reversed(found) if entry.seq > self.first]
        return [facts for facts in mine if not events or facts["event"] in events]

    async def load(
        self, headers: dict[str, str], dataset_id: str, file: bytes, **query: str
    ) -> dict[str, Any]:
        """Send a file and wait for its run to end (the module uses the `worker` fixture)."""
        sent = await self.client.post(
            f"/v1/datasets/{dataset_id}/versions", params=query, content=file, headers=headers
        )
        assert sent.status_code == 202, sent.text
        return await self.ended(headers, sent.json()["id"])

    async def ended(self, headers: dict[str, str], run_id: str) -> dict[str, Any]:
        """The run once it has ended."""
        async with asyncio.timeout(60):
            while True:
                run: dict[str, Any] = (
                    await self.client.get(f"/v1/runs/{run_id}", headers=headers)
                ).json()
                if run["state"] in ("ok", "degraded", "failed"):
                    return run
                await asyncio.sleep(0.02)

    async def publish(self, headers: dict[str, str], run: dict[str, Any]) -> None:
        """Publish the version that a run has loaded."""
        path = f"/v1/datasets/{run['dataset_id']}/versions/{run['version_number']}/publish"
        response = await self.client.post(path, headers=headers)
        assert response.status_code == 200, response.text
