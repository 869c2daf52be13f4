"""What a client's token may name: facts gathered and policy asked.

Of rules it has one, the zone: trust.md wants it checked where tokens are issued by itself, so that
a mistake in the broker's rules gives nobody a token.
"""

from dataclasses import replace

from app.api.state import Platform
from app.broker.snapshot import Known
from app.catalogue.refusals import DatasetNotFound
from app.kit import clock
from app.oauth.grants import Reach, Reached
from app.policy.facts import Action, Caller, DatasetFacts, Facts
from app.policy.rules import RANK, class_seen, decide
from app.policy.verdicts import Allow

_NO_PURPOSE = "*"  # of no view, so that it stands for whichever purpose lets most through


def reach_of(platform: Platform) -> Reach:
    """A judge of what a token may name, by what the platform knows at that moment."""

    async def reach(asker: Caller, dataset_id: str, action: Action) -> Reached | None:
        try:
            known = await platform.snapshot.dataset(dataset_id)
        except DatasetNotFound:
            return None
        if not _keeps_zone(known.entry.facts, asker):
            return None
        scope = frozenset({f"dataset:{dataset_id}:{action.value}"})
        # The scope to read serves for counting too, where nothing else is given.
        is_counted = action is Action.READ and known.entry.facts.aggregate_only
        least = Action.AGGREGATE if is_counted else action
        return _reached(platform.zone, known, replace(asker, scope=scope), least)

    return reach


def _keeps_zone(dataset: DatasetFacts, asker: Caller) -> bool:
    is_open = dataset.data_class == "public" and dataset.zone == "internet"
    return is_open or dataset.zone == asker.client.zone


def _reached(zone: str, known: Known, caller: Caller, action: Action) -> Reached | None:
    """What any purpose would let through: the purpose itself is told with each read."""
    dataset = known.entry.facts
    mine, now = caller.client.organization_id, clock.now()
    agreements = known.concerning(mine)
    purpose_of = {each.id: each.purpose for each in agreements if each.is_for(mine, now)}
    # Views may let more through for a purpose that nothing was agreed for.
    purposes = frozenset({*purpose_of.values(), _NO_PURPOSE})
    best: Reached | None = None
    for purpose in sorted(purposes):
        verdict = decide(
            Facts(
                action=action,
                dataset=dataset,
                caller=caller,
                purpose=purpose,
                zone=zone,
                agreements=agreements,
                purposes=purposes,
                now=now,
            )
        )
        if isinstance(verdict, Allow):
            agreement = verdict.agreement_id
            of = purpose_of[agreement] if agreement is not None else None
            found = Reached(class_seen(dataset, verdict), agreement, of)
            best = found if best is None or _is_more(found, best) else best
    return best


def _is_more(one: Reached, other: Reached) -> bool:
    """Whether it sees more: a token lives as long as the most that it may see allows.

    Of open data everybody sees a part, for whichever purpose: an agreement on it is more.
    """
    seen, most = RANK[one.data_class], RANK[other.data_class]
    return seen > most or (
        seen == most and other.agreement_id is None and one.agreement_id is not None
    )
