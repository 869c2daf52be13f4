"""When the same facts are judged otherwise only because time has passed. Pure; judges nothing."""

from collections.abc import Iterator
from datetime import datetime

from app.policy.facts import Facts


def same_until(facts: Facts) -> datetime | None:
    """The first moment after `facts.now` at which a verdict on them may change; None: at none.

    Rules know the time by when agreements, and memberships of the caller's, begin and end.
    """
    return min((each for each in _moments(facts) if each > facts.now), default=None)


def _moments(facts: Facts) -> Iterator[datetime]:
    mine = facts.caller.client.organization_id if facts.caller is not None else ""
    for agreement in facts.agreements:
        yield agreement.valid_from
        yield agreement.valid_until
        for days in (agreement.members or {}).get(mine, ()):
            yield days.since
            if days.until is not None:
                yield days.until
