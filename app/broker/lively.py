"""Which questions a live dataset is asked: those that need nothing that is stored. Decides no right."""

from collections.abc import Mapping
from typing import Any, Final
from uuid import UUID

from app.broker.ask import Ask
from app.broker.conversions import CONVERTED
from app.broker.plan import ORIGINALS, Plan
from app.broker.refusals import DatasetIsLive, NotOfThatAgreement
from app.catalogue.entries import VersionEntry
from app.connectors.agent import AgentConnector
from app.connectors.relayed import agreement_of
from app.kit.behalf import Reader
from app.kit.errors import AppError
from app.live.reader import LiveAsk, LiveReader
from app.policy.verdicts import Allow
from app.tables.sql import Reading

_FEDERATION: Final = "linkage"  # by name: its kind is brought in when it is first asked


def takes_live(ask: Ask) -> bool:
    """Whether it is a question of now, in the words of the Linkage Interface."""
    is_ours = ask.path is None and ask.bare is None and ask.item is None and ask.translate is None
    return is_ours and ask.parameter("version") is None and ask.parameter("as_of") is None


def can_live(ask: Ask, allow: Allow) -> bool:
    """Whether records that are not stored can be given so: consents are looked up beside stored
    ones, as others' records are, and only a table is written as a file."""
    is_file = ask.representation in CONVERTED
    asks_more = ask.parameter("expand") is not None or ask.parameter(ORIGINALS) == "true"
    return not (is_file or asks_more or allow.consent is not None)


def unfit(dataset: str, version: VersionEntry, ask: Ask, allow: Allow) -> AppError | None:
    """What a live dataset is not asked, and for whom not."""
    if version.live is None or not can_live(ask, allow):
        return DatasetIsLive(dataset=dataset)
    other = _agreed_for(version, allow)
    return NotOfThatAgreement(dataset=dataset, agreement=other) if other is not None else None


def reader_of(version: VersionEntry, ask: Ask, allow: Allow) -> Reader | None:
    """Who reads, where the platform that has the data is to decide for them; None for every other
    source. Of an official who acts through a client it could know nothing but the client."""
    live = version.live
    if live is None or live.connector.kind != _FEDERATION:
        return None
    if live.selection.get("for_reader") is not True:
        return None
    client = ask.caller.client if ask.caller is not None else None
    is_known = client is not None and client.person_id is None and client.spoken_by is None
    return Reader(
        client.client_id if client is not None and is_known else None,
        client.organization_id if client is not None and is_known else None,
        ask.parameter("purpose"), allow.agreement_id,
    )  # fmt: skip


async def live_ask(
    live: LiveReader, plan: Plan, reading: Reading, allow: Allow, reader: Reader | None
) -> LiveAsk:
    """The question as a live dataset is asked it, and for whom its answer may be held."""
    opened = await live.sources.open(plan.dataset_id, plan.version)
    seen = (allow.columns, allow.bounds)
    return LiveAsk(
        plan.dataset_id, opened, reading, plan.wording, seen, plan.length,
        is_bounded=bool(allow.bounds),
        whom=reader,  # whom another decided for has it alone
    )  # fmt: skip


def _agreed_for(version: VersionEntry, allow: Allow) -> UUID | None:
    """The agreement under which a source behind an agent is asked, where the decision rests on
    something else. Whose data it is needs none."""
    live = version.live
    if live is None or live.connector.kind != AgentConnector.kind or allow.ground == "own":
        return None
    named = agreement_of(live.selection.get("agreement"))
    return named if named is not None and str(named) != allow.agreement_id else None


def age_of(told: Mapping[str, Any] | None) -> tuple[tuple[str, str], ...]:
    """What an answer that is not of now says of its age, in whatever form it is: not all have a
    `meta` (RFC 9111, 5.1; CACHE-04)."""
    if told is None or not told["age_seconds"]:
        return ()
    age = ("age", str(int(told["age_seconds"])))
    return (age, ("linkage-stale", "?1")) if told["stale"] else (age,)
