"""The one judgement of who may do what with a dataset's records: pure, and no by default."""

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from datetime import datetime
from enum import StrEnum
from typing import Final

from app.policy.facts import Action, AgreementFacts, Caller

# The order of the data classes: a column is seen by those who may see its class.
RANK: Final = {"public": 0, "internal": 1, "restricted": 2, "personal": 3, "specific-personal": 4}
# How a client proves itself by a key that it never sends.
_BY_KEY: Final = frozenset({"private_key_jwt", "tls_client_auth"})


class Reason(StrEnum):
    """Why a rule refused. Stable: stands in answers and in the log."""

    WITHDRAWN = "dataset_withdrawn"
    NEVER_BROKERED = "never_brokered"
    ZONE = "zone_not_allowed"
    TOKEN_REQUIRED = "token_required"  # noqa: S105 - a reason, not a secret
    CLIENT_REVOKED = "client_revoked"
    SCOPE = "insufficient_scope"
    CLIENT_TOO_WEAK = "client_authentication_too_weak"
    TOKEN_NOT_BOUND = "token_not_bound"  # noqa: S105
    PURPOSE_REQUIRED = "purpose_required"
    PURPOSE_UNKNOWN = "purpose_unknown"
    NO_AGREEMENT = "no_agreement"
    AGREEMENT_NOT_NAMED = "agreement_not_named"
    PURPOSE_NOT_AGREED = "purpose_not_agreed"
    ACTION_NOT_AGREED = "action_not_agreed"
    AGREEMENT_NOT_STARTED = "agreement_not_started"
    AGREEMENT_EXPIRED = "agreement_expired"
    AGREEMENT_SUSPENDED = "agreement_suspended"
    AGREEMENT_REVOKED = "agreement_revoked"
    NO_COLUMNS = "no_columns_agreed"
    AGGREGATE_ONLY = "aggregate_only"
    FACTS_TOO_OLD = "facts_too_old"  # found before the rules: app/policy/staleness.py


@dataclass(frozen=True, slots=True)
class DatasetFacts:
    """What a rule may know of the dataset. `columns` are (field name, data class) in order."""

    id: str
    data_class: str
    zone: str
    publisher_id: str
    body_id: str  # the local government at the top of the publisher's line
    columns: tuple[tuple[str, str], ...]
    withdrawn: bool = False
    aggregate_only: bool = False  # only its own organisation sees a record


@dataclass(frozen=True, slots=True)
class Facts:
    """One request, frozen. `zone` is the listener's; `agreements` are the dataset's, any state."""

    action: Action
    dataset: DatasetFacts
    caller: Caller | None
    purpose: str | None
    zone: str
    agreements: tuple[AgreementFacts, ...]
    purposes: frozenset[str]
    now: datetime


@dataclass(frozen=True, slots=True)
class Allow:
    """What may be done: the columns that may leave or be named, and on which ground."""

    columns: frozenset[str]
    ground: str  # public, own, body, agreement
    agreement_id: str | None = None


@dataclass(frozen=True, slots=True)
class Deny:
    """A refusal with its rule. `named` fills the words that explain it."""

    reason: Reason
    named: dict[str, str] = field(default_factory=dict)


Decision = Allow | Deny


def decide(facts: Facts) -> Decision:
    """Judge one request. What no rule allows is refused; public data needs no ground but itself."""
    for gate in (_state_gate, _class_gate, _zone_gate):
        refusal = gate(facts)
        if refusal is not None:
            return refusal
    return _record_rule(facts, _judge_grounds(facts))


def _judge_grounds(facts: Facts) -> Decision:
    fuller = _judge_caller(facts)
    if facts.action is Action.WRITE or facts.dataset.data_class != "public":
        return fuller
    public = frozenset(name for name, seen_by in facts.dataset.columns if seen_by == "public")
    if isinstance(fuller, Allow):
        return replace(fuller, columns=fuller.columns | public)
    return Allow(public, "public")


def _record_rule(facts: Facts, so_far: Decision) -> Decision:
    """Where records are only counted, no ground but one's own shows a single one."""
    if facts.action is not Action.READ or not facts.dataset.aggregate_only:
        return so_far
    if isinstance(so_far, Allow) and so_far.ground != "own":
        return Deny(Reason.AGGREGATE_ONLY, {"dataset": facts.dataset.id})
    return so_far


def _state_gate(facts: Facts) -> Deny | None:
    return Deny(Reason.WITHDRAWN) if facts.dataset.withdrawn else None


def _class_gate(facts: Facts) -> Deny | None:
    """特定個人情報 never passes here; personal data only on a token bound to its sender."""
    if facts.dataset.data_class == "specific-personal":
        return Deny(Reason.NEVER_BROKERED)
    if facts.dataset.data_class == "personal" and not (facts.caller and facts.caller.bound):
        return Deny(Reason.TOKEN_NOT_BOUND)
    if facts.dataset.data_class not in RANK:
        return Deny(Reason.NEVER_BROKERED)
    return None


def _zone_gate(facts: Facts) -> Deny | None:
    """Data stays in its zone. Public data of the internet zone may be read from every zone."""
    dataset = facts.dataset
    if dataset.data_class == "public" and dataset.zone == "internet":
        return None
    zones = {facts.zone} | ({facts.caller.client.zone} if facts.caller else set())
    if zones == {dataset.zone}:
        return None
    return Deny(Reason.ZONE, {"zone": dataset.zone})


def _judge_caller(facts: Facts) -> Decision:
    """The grounds that need a caller: own data, the same body's internal data, an agreement."""
    caller = facts.caller
    if caller is None:
        return Deny(Reason.TOKEN_REQUIRED)
    if caller.client.revoked:
        return Deny(Reason.CLIENT_REVOKED)
    needed = f"dataset:{facts.dataset.id}:{facts.action.needs}"
    if needed not in caller.scope:
        return Deny(Reason.SCOPE, {"scope": needed})
    if RANK[facts.dataset.data_class] > ceiling(caller):
        return Deny(Reason.CLIENT_TOO_WEAK)
    refusal = _purpose_rule(facts)
    if refusal is not None:
        return refusal
    # A token for one agreement acts under that one alone.
    grounds = (_own_ground, _body_ground) if caller.agreement_id is None else ()
    for ground in grounds:
        allowed = ground(facts, caller)
        if allowed is not None:
            return allowed
    return _agreement_ground(facts, caller)


def ceiling(caller: Caller) -> int:
    """The highest class that this proof of identity can reach (trust.md, Clients)."""
    if caller.client.auth_method not in _BY_KEY:
        return RANK["internal"]  # a bound token is worth no more than the secret it was got with
    return RANK["personal"] if caller.bound else RANK["restricted"]


def class_seen(dataset: DatasetFacts, allow: Allow) -> str:
    """The dataset's class, or personal where a personal column of it may be seen."""
    seen_by = dict(dataset.columns)
    if any(seen_by.get(name) == "personal" for name in allow.columns):
        return "personal"
    return dataset.data_class


def _purpose_rule(facts: Facts) -> Deny | None:
    if facts.action is Action.WRITE:
        return None
    if facts.purpose is None:
        return Deny(Reason.PURPOSE_REQUIRED, {"purposes": ", ".join(sorted(facts.purposes))})
    if facts.purpose not in facts.purposes:
        named = {"purpose": facts.purpose, "purposes": ", ".join(sorted(facts.purposes))}
        return Deny(Reason.PURPOSE_UNKNOWN, named)
    agreed = facts.caller.purpose if facts.caller else None
    if agreed is not None and facts.purpose != agreed:
        return Deny(Reason.PURPOSE_NOT_AGREED, {"purpose": agreed})
    return None


def _seen_up_to(facts: Facts, rank: int) -> frozenset[str]:
    return frozenset(name for name, seen_by in facts.dataset.columns if RANK[seen_by] <= rank)


def _own_ground(facts: Facts, caller: Caller) -> Allow | None:
    if caller.client.organization_id != facts.dataset.publisher_id:
        return None
    return Allow(_seen_up_to(facts, ceiling(caller)), "own")


def _body_ground(facts: Facts, caller: Caller) -> Allow | None:
    """庁内: every unit of the same local government reads what is internal, and only reads."""
    if (
        facts.action is Action.WRITE
        or RANK[facts.dataset.data_class] > RANK["internal"]
        or caller.client.body_id != facts.dataset.body_id
    ):
        return None
    return Allow(_seen_up_to(facts, RANK["internal"]), "body")


def looked_at(facts: Facts, consumer_id: str) -> tuple[tuple[AgreementFacts, Reason | None], ...]:
    """The consumer's agreements on the dataset, each with what keeps it from carrying this request.

    For explanations: by the very checks that decide.
    """
    mine = [a for a in facts.agreements if a.consumer_id == consumer_id]
    return tuple((each, _why_not(facts, each)) for each in mine)


def _agreement_ground(facts: Facts, caller: Caller) -> Decision:
    """The widest agreement in force for this action and purpose, or the nearest reason why not."""
    # What is personal leaves under an agreement only on a token that is for that one.
    only = caller.agreement_id
    highest = min(ceiling(caller), RANK["restricted"] if only is None else RANK["personal"])
    refusal = Deny(Reason.NO_AGREEMENT, {"dataset": facts.dataset.id})
    best: Allow | None = None
    for agreement, why in looked_at(facts, caller.client.organization_id):
        if only not in (None, agreement.id):
            continue
        if why is not None:
            refusal = _nearer(refusal, Deny(why, {"purpose": agreement.purpose}))
            continue
        columns = agreement.columns & _seen_up_to(facts, highest)
        if best is None or len(columns) > len(best.columns):
            best = Allow(columns, "agreement", agreement.id)
    if best is None:
        return refusal
    if RANK[facts.dataset.data_class] > highest:
        return Deny(Reason.AGREEMENT_NOT_NAMED, {"dataset": facts.dataset.id})
    return best if best.columns else Deny(Reason.NO_COLUMNS)


_NEARNESS: Final = (
    Reason.NO_AGREEMENT,
    Reason.ACTION_NOT_AGREED,
    Reason.PURPOSE_NOT_AGREED,
    Reason.AGREEMENT_REVOKED,
    Reason.AGREEMENT_EXPIRED,
    Reason.AGREEMENT_NOT_STARTED,
    Reason.AGREEMENT_SUSPENDED,
)


def _nearer(one: Deny, other: Deny) -> Deny:
    """Of two refusals the one that tells more: how close the caller came to an agreement."""
    return max(one, other, key=lambda deny: _NEARNESS.index(deny.reason))


Check = Callable[[Facts, AgreementFacts], bool]
# In this order, so that the reason found first is the one that must be mended first.
_AGREEMENT_RULES: Final[tuple[tuple[Reason, Check], ...]] = (
    (Reason.ACTION_NOT_AGREED, lambda facts, a: facts.action.needs in a.actions),
    (
        Reason.PURPOSE_NOT_AGREED,
        lambda facts, a: facts.action is Action.WRITE or facts.purpose == a.purpose,
    ),
    (Reason.AGREEMENT_REVOKED, lambda _facts, a: a.state != "revoked"),
    (Reason.AGREEMENT_EXPIRED, lambda facts, a: facts.now < a.valid_until),
    (Reason.AGREEMENT_NOT_STARTED, lambda facts, a: a.valid_from <= facts.now),
    # Any state that is not plainly active refuses: a state we cannot read is not a yes.
    (Reason.AGREEMENT_SUSPENDED, lambda _facts, a: a.state == "active"),
)


def _why_not(facts: Facts, agreement: AgreementFacts) -> Reason | None:
    for reason, holds in _AGREEMENT_RULES:
        if not holds(facts, agreement):
            return reason
    return None
