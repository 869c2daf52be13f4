"""A register of people of whom a consumer reads those who consent, and the people."""

from dataclasses import dataclass, field
from typing import Any, Final
from uuid import UUID

import httpx

from app.models.consents import Consent, ConsentText
from app.models.parties import Role
from app.subjects import consents
from tests.oauth.senders import Sender, sender, under
from tests.stock import PURPOSE, Spec, agreed, path, stocked
from tests.versioned import base, steward_of
from tests.world import KENKO, SAKAI, World

SPECS: Final[tuple[Spec, ...]] = (
    ("no", "code", {"key": True}),
    ("who", "code"),
    ("name", "text"),
    ("size", "integer"),
)
SEEN: Final = ["no", "name", "size"]  # the consumer does not see the provider's names
BY_CONSENT: Final[dict[str, Any]] = {"consent": True}


@dataclass(slots=True)
class Register:
    """The dataset, whom its records `1`, `2`, … are about, its consumer and its own client."""

    world: World
    dataset: str
    people: list[str]  # by the provider's names
    asking: Sender
    own: Sender
    agreement: str
    names: dict[str, dict[str, frozenset[str]]] = field(default_factory=dict)

    async def of(self, at: int) -> dict[str, frozenset[str]]:
        """All names of the person of a record, as a citizen's door finds them."""
        linker = self.world.platform.linker
        person = await linker.person(KENKO, self.people[at - 1])
        assert person is not None
        return dict(await linker.names(person))

    async def offered(self, consumer: str = SAKAI, purpose: str = PURPOSE) -> ConsentText:
        """What the people are shown."""
        async with self.world.platform.database.writing() as session:
            return await consents.offer(
                session, dataset_id=self.dataset, consumer_id=consumer, purpose=purpose
            )

    async def give(self, at: int, **otherwise: Any) -> Consent:
        """The person of a record consents, signed in."""
        text = otherwise.pop("text_sha256", None) or (await self.offered()).sha256
        full = {
            "names": await self.of(at), "text_sha256": text, "valid_until": None,
            "method": "online", "acr": "high", "by": "citizen", **otherwise,
        }  # fmt: skip
        async with self.world.platform.database.writing() as session:
            return await consents.give(session, **full)

    async def withdraw(self, consent_id: UUID, at: int) -> Consent:
        """The person of a record withdraws."""
        async with self.world.platform.database.writing() as session:
            return await consents.withdraw(
                session, consent_id, names=await self.of(at), by="citizen"
            )

    async def get(
        self, where: str | None = None, who: Sender | None = None,
        headers: dict[str, str] | None = None, **query: str,
    ) -> httpx.Response:  # fmt: skip
        """Ask for the agreed purpose, as the consumer unless another is named."""
        where = where or path(self.dataset)
        shown = {**(who or self.asking).headers(where), **(headers or {})}
        query = {"purpose": PURPOSE, **query}
        return await self.world.client.get(where, params=query, headers=shown)

    async def seen(self, who: Sender | None = None, **query: str) -> list[str]:
        """The numbers of the records that come."""
        answer = await self.get(None, who, None, **query)
        assert answer.status_code == 200, answer.text
        return [each["no"] for each in answer.json()["records"]]


async def register(
    world: World, people: int = 3, view: dict[str, Any] = BY_CONSENT, **terms: Any
) -> Register:
    """So many people with a record each, of whom nobody has consented yet."""
    dataset = await stocked(world, [], SPECS, data_class="personal")
    names = await world.platform.linker.new_people(KENKO, people)
    await declare_subject(world, dataset)
    own = await sender(
        world, await world.party(KENKO), f"dataset:{dataset}:read dataset:{dataset}:write"
    )
    rows = [
        {"no": str(at), "who": name, "name": f"架空{at}", "size": at}
        for at, name in enumerate(names, start=1)
    ]
    where = path(dataset)
    wrote = await world.client.post(where, json=rows, headers=own.headers(where, "POST"))
    assert wrote.status_code == 200, wrote.text
    asking, agreement = await consumer_of(world, dataset, **terms)
    await declare_view(world, dataset, view)
    return Register(world, dataset, names, asking, own, agreement)


async def declare_subject(world: World, dataset: str, subject: str | None = "who") -> None:
    await world.platform.database.pool.execute(
        "UPDATE dataset SET subject = $2 WHERE id = $1", dataset, subject
    )
    world.platform.live.changed("dataset", dataset)


async def declare_view(
    world: World, dataset: str, view: dict[str, Any], purpose: str = PURPOSE
) -> None:
    where = f"{base(dataset)}/purposes/{purpose}"
    put = await world.client.put(where, json=view, headers=await steward_of(world))
    assert put.status_code == 200, put.text
    world.platform.live.changed("dataset", dataset)


async def consumer_of(
    world: World, dataset: str, organization: str = SAKAI, **terms: Any
) -> tuple[Sender, str]:
    """A client of the organisation with an agreement of its own and a token for it, and its id."""
    party = await world.party(organization, Role.DEVELOPER)
    agreement, _ = await agreed(world, dataset, party, **{"columns": SEEN, **terms})
    token = await sender(
        world, party, f"dataset:{dataset}:read", authorization_details=under(agreement)
    )
    return token, agreement
