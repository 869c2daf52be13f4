"""What everybody should be told of every step of the life cycle: a small model that knows no code.

Expectations are `ok`, the code of a refusal, or `terms_invalid` with the codes of its faults.
"""

from dataclasses import dataclass
from datetime import datetime, timedelta
from uuid import UUID

from app.kit import clock

CITY, BUREAU, OTHER = "271004", "271004-kenko", "271403"
MEMBERS = ("273210", "273015")  # of the group that the city operates
ENDS = {"approved", "rejected", "withdrawn"}
MOVES = {
    ("active", "suspended"),
    ("active", "revoked"),
    ("suspended", "active"),
    ("suspended", "revoked"),
}


@dataclass(frozen=True, slots=True)
class Who:
    """Somebody who acts: a client, or a person through one."""

    organization: str
    is_steward: bool
    app: str
    person: str | None = None
    in_zone: bool = True

    @property
    def actor(self) -> str:
        return self.person or self.app

    @property
    def consumes(self) -> bool:
        return self.organization == CITY

    @property
    def decides(self) -> bool:
        return self.is_steward and self.organization in (CITY, BUREAU)


# The city asks its own bureau, and its stewards stand above the bureau: they could play both sides.
PEOPLE = {
    "asker": Who(CITY, False, "asker"),
    "both": Who(CITY, True, "one app", "somebody"),
    "both elsewhere": Who(CITY, True, "other app", "somebody"),
    "colleague": Who(CITY, True, "one app", "somebody else"),
    "app itself": Who(CITY, True, "one app"),
    "steward": Who(BUREAU, True, "steward"),
    "clerk": Who(BUREAU, False, "clerk"),
    "stranger": Who(OTHER, True, "stranger"),
    "away": Who(CITY, True, "away", in_zone=False),
}


@dataclass
class Asked:
    """What the model knows of a request."""

    id: UUID
    state: str
    offered_by: Who
    due_at: datetime | None
    valid_until: datetime
    amends: "Agreed | None" = None
    offer: int = 1
    group: bool = False
    author_gone: bool = False
    author_moved: bool = False  # the asking client is in another zone by now

    def __post_init__(self) -> None:
        self.asked_by = self.offered_by

    def shown(self) -> str:
        waits = self.state in ("requested", "countered")
        is_late = self.due_at is not None and self.due_at <= clock.now()
        return "expired" if waits and is_late else self.state


@dataclass
class Agreed:
    """What the model knows of an agreement."""

    id: UUID
    valid_until: datetime
    state: str = "active"
    version: int = 1
    group: bool = False

    def shown(self) -> str:
        is_over = self.valid_until <= clock.now() and self.state in ("active", "suspended")
        return "expired" if is_over else self.state


def _turn(asked: Asked, *needed: str) -> str | None:
    known = {"draft": "access_request_draft", "expired": "access_request_expired"}
    known |= dict.fromkeys(ENDS, "access_request_decided")
    state = asked.shown()
    return known.get(state) or (None if state in needed else "other_side_answers")


def _over(asked: Asked) -> str | None:
    return "terms_invalid period_order" if asked.valid_until <= clock.now() else None


def _former(asked: Asked) -> str | None:
    is_late = asked.amends is not None and asked.amends.shown() != "active"
    return "wrong_agreement_state" if is_late else None


def _is_same(who: Who, other: Who) -> bool:
    """An app that acts for itself is moved by anybody who uses it."""
    is_app_itself = who.person is None or other.person is None
    return who.actor == other.actor or (is_app_itself and who.app == other.app)


def _asked(asked: Asked, who: Who) -> bool:
    return asked.amends is None and who.actor == asked.asked_by.actor


def ask(who: Who, *, group: bool = False) -> str:
    if who.organization == BUREAU:
        return "terms_invalid own_dataset" + (" group_unknown" if group else "")
    if group and not who.consumes:
        return "terms_invalid group_unknown"
    return "ok" if who.in_zone else "zone_not_allowed"


def draft(asked: Asked, who: Who, verb: str) -> str:
    """Edit, submit or give up a draft."""
    if asked.state != "draft":
        return "access_request_not_a_draft"
    if not who.consumes:
        return "not_the_requester"
    is_over = _over(asked) if verb != "give-up" else None
    return is_over or ("ok" if who.in_zone or verb != "submit" else "zone_not_allowed")


def approve(asked: Asked, who: Who, *, stale: bool = False) -> str:
    return (
        _turn(asked, "requested")
        or ("offer_replaced" if stale else None)
        or ("same_person" if _is_same(who, asked.offered_by) or _asked(asked, who) else None)
        or (None if who.decides else "not_the_steward")
        or _over(asked)
        or ("requester_revoked" if asked.author_gone else None)
        or ("zone_not_allowed" if asked.author_moved else None)
        or _former(asked)
        or "ok"
    )


def accept(asked: Asked, who: Who, *, stale: bool = False) -> str:
    return (
        _turn(asked, "countered")
        or ("offer_replaced" if stale else None)
        or (None if who.consumes else "not_the_requester")
        or (None if who.in_zone else "zone_not_allowed")
        or ("same_person" if _is_same(who, asked.offered_by) else None)
        or _over(asked)
        or ("requester_revoked" if asked.author_gone else None)
        or _former(asked)
        or "ok"
    )


def counter(asked: Asked, who: Who) -> str:
    if (refusal := _turn(asked, "requested", "countered")) is not None:
        return refusal
    if asked.shown() == "requested":
        return _over(asked) or "ok" if who.decides else "not_the_steward"
    if not who.consumes:
        return "not_the_requester"
    return _over(asked) or "ok" if who.in_zone else "zone_not_allowed"


def end(asked: Asked, who: Who, verb: str) -> str:
    """Reject or withdraw."""
    may, refusal = (
        (who.decides, "not_the_steward")
        if verb == "rejected"
        else (who.consumes, "not_the_requester")
    )
    return _turn(asked, "requested", "countered") or ("ok" if may else refusal)


def amend(agreed: Agreed, who: Who) -> str:
    if agreed.shown() != "active":
        return "wrong_agreement_state"
    if not (who.consumes or who.decides):
        return "not_a_party"
    return "ok" if who.in_zone or not who.consumes else "zone_not_allowed"


def change(agreed: Agreed, who: Who, target: str) -> str:
    """Suspend, resume or revoke."""
    if (agreed.shown(), target) not in MOVES:
        return "wrong_agreement_state"
    if target == "active":
        return "ok" if who.decides else "not_the_steward"
    return "ok" if who.consumes or who.decides else "not_a_party"


def leave_out(agreed: Agreed, who: Who, organization: str) -> str:
    """Exclude a member, or include it again."""
    if not who.decides:
        return "not_the_steward"
    if not agreed.group:
        return "not_a_group_agreement"
    if agreed.shown() not in ("active", "suspended"):
        return "wrong_agreement_state"
    return "ok" if organization in MEMBERS else "terms_invalid not_a_member"


def may_be_written(asked: Asked, who: Who, aim: str) -> bool:
    """Whether the database takes a state with who decided and when, and nothing else."""
    state = asked.shown()
    if state == "draft":
        return aim == "withdrawn"
    may = state in ("requested", "countered") and aim in ENDS
    return may and (aim != "approved" or who.actor != asked.offered_by.actor)


PERIOD = timedelta(days=50)
