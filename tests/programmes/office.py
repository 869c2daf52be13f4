"""Who runs programmes, who has projects in them, and services with certificates, for tests."""

import secrets
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import httpx

from app.conformance import certificates
from app.kit import clock
from app.models.conformance import ConformanceRun, ConformanceService, RunKind, RunState
from app.models.parties import Role
from app.models.profiles import Profile
from app.parties.seed import OPERATOR
from tests.world import World

PROGRAMMES = "/v1/programmes"
PROJECTS = "/v1/projects"
VENDOR = "271403"
FY2020 = Path(__file__).parents[2] / "examples" / "subsidised_projects_fy2020.csv"
SCOPE = "programmes:read programmes:write"
Headers = dict[str, str]


def title(what: str = "事業") -> str:
    """One that no other test has."""
    return f"{what} {secrets.token_hex(4)}"


async def acting(world: World, organization: str, *roles: Role) -> Headers:
    """The headers of a client that keeps and reads programmes."""
    party = await world.party(organization, *(roles or (Role.STEWARD,)))
    return await world.token(party, "programmes:read" if roles == (Role.AUDITOR,) else SCOPE)


@dataclass(slots=True)
class Office:
    """The prefecture runs programmes; a city has projects."""

    world: World
    prefecture: Headers
    city: Headers

    @classmethod
    async def of(cls, world: World, city: str = "271004") -> "Office":
        return cls(
            world,
            await acting(world, OPERATOR, Role.STEWARD),
            await acting(world, city, Role.COORDINATOR),
        )

    async def programme(self, **told: Any) -> dict[str, Any]:
        """One that supports, unless said otherwise."""
        body = {"title": title(), "kind": "support", "fiscal_year": 2026, **told}
        return await self._made(PROGRAMMES, body, self.prefecture)

    async def project(self, programme: dict[str, Any], **told: Any) -> dict[str, Any]:
        """One of the city's, submitted."""
        said = {"title": title("計画"), "requested_thousand_yen": 5000, **told}
        body = {"programme": programme["id"], "description": said}
        made = await self._made(PROJECTS, body, self.city)
        moved = await self.move(made, "submitted", by=self.city)
        assert moved.status_code == 200, moved.text
        told_now: dict[str, Any] = moved.json()
        return told_now

    async def move(
        self, project: dict[str, Any], to: str, *, by: Headers | None = None, **more: Any
    ) -> httpx.Response:
        """Tried by who runs the programme, unless said otherwise."""
        path = f"{PROJECTS}/{project['id']}/state"
        headers = self.prefecture if by is None else by
        return await self.world.client.post(path, json={"to": to, **more}, headers=headers)

    async def put(self, project: dict[str, Any], **told: Any) -> httpx.Response:
        """The city's words about it, some of them new."""
        body = {"description": {**project["description"], **told}}
        path = f"{PROJECTS}/{project['id']}"
        return await self.world.client.put(path, json=body, headers=self.city)

    async def _made(self, path: str, body: Any, headers: Headers) -> dict[str, Any]:
        answer = await self.world.client.post(path, json=body, headers=headers)
        assert answer.status_code == 201, answer.text
        made: dict[str, Any] = answer.json()
        return made

    async def layout(self) -> str:
        """A standard layout that no other test has, as name/version."""
        name = f"layout-{secrets.token_hex(4)}"
        now = clock.now() - timedelta(days=1)
        async with self.world.platform.database.writing() as session:
            session.add(Profile(
                name=name, version=1, title_ja="架空施設", fields=[], rules=[], created_at=now,
                created_by="test", published_at=now,
            ))  # fmt: skip
        return f"{name}/1"

    async def service(self, name: str = "架空予約サービス") -> str:
        """One that was registered and never judged; its id."""
        now = clock.now()
        service = ConformanceService(
            id=uuid4(), organization_id=VENDOR, name=name, sandbox_url="https://sandbox.example.jp",
            dataset=None, classes=["core", "query"], municipalities=[], created_at=now,
            created_by="test", changed_at=now, changed_by="test",
        )  # fmt: skip
        async with self.world.platform.database.writing() as session:
            session.add(service)
        return str(service.id)

    async def certify(
        self, service: str, classes: Sequence[str] = ("core", "query"), layout: str | None = None
    ) -> UUID:
        """A certificate of a run that was passed; its id."""
        now = clock.now()
        run = ConformanceRun(
            id=uuid4(), service_id=UUID(service), kind=RunKind.FULL, state=RunState.PASSED,
            sandbox_url="https://sandbox.example.jp", dataset=None, classes=list(classes),
            standard="1.0.0", profile=layout, broken=[], created_at=now, ended_at=now,
        )  # fmt: skip
        async with self.world.platform.database.writing() as session:
            session.add(run)
            await session.flush()
            held = await certificates.issue(
                session, run, issuer=self.world.platform.issuer, by="test"
            )
            return held.row.id

    async def revoke(self, certificate: UUID) -> None:
        async with self.world.platform.database.writing() as session:
            held = await certificates.get(session, certificate)
            await certificates.revoke(session, held, reason="試験", by="test")
