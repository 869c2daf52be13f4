"""The one judgement of who may do what with a dataset's records: pure, and no by default.

What is judged by is data: the tuples of rules and grounds below, each with a name, each in the
order in which it is asked. What no rule knows (a class, an action, a state, a zone) is a no.
"""

import math
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from typing import Final, Generic, ParamSpec

from app.policy.facts import Action, AgreementFacts, Caller, ClientFacts, DatasetFacts, Facts
from app.policy.verdicts import Allow, Decision, Deny, Reason
from app.policy.views import let_out, rows_of, view_of, viewed

# The order of the data classes: a column is seen by those who may see its class.
RANK: Final = {"public": 0, "internal": 1, "restricted": 2, "personal": 3, "specific-personal": 4}
_PERSONAL: Final = RANK["personal"]
_BEYOND: Final = len(RANK)  # a column of a class that nobody knows is above every reach
_ZONES: Final = frozenset({"internet", "lgwan", "mynumber"})
# How a client proves itself by a key that it never sends.
_BY_KEY: Final = frozenset({"private_key_jwt", "tls_client_auth"})

Asked = ParamSpec("Asked")


@dataclass(frozen=True, slots=True)
class Rule(Generic[Asked]):
    """One check, by name. Where it does not hold, the request is refused for its reason."""

    name: str
    reason: Reason
    holds: Callable[Asked, bool]
    named: Callable[Asked, dict[str, str]] = lambda *_args, **_more: {}

    def refuse(self, *args: Asked.args, **more: Asked.kwargs) -> Deny:
        """The refusal of what the rule does not hold for."""
        return Deny(self.reason, self.named(*args, **more), self.name)


@dataclass(frozen=True, slots=True)
class Ground:
    """A ground that lies in who the caller is: where it holds, classes up to `reach` are seen."""

    name: str
    holds: Callable[[Facts, Caller], bool]
    reach: Callable[[Caller], int]


def decide(facts: Facts) -> Decision:
    """Judge one request. What no rule allows is refused; public data needs no ground but itself."""
    for gate in GATES:
        if not gate.holds(facts):
            return gate.refuse(facts)
    verdict = _judge_grounds(facts)
    if isinstance(verdict, Allow):
        for rule in RECORD_RULES:
            if not rule.holds(facts, verdict):
                return rule.refuse(facts, verdict)
        return _without_people(facts, verdict)
    return verdict


def tables() -> tuple[object, ...]:
    """What is judged by now: a verdict that is remembered is one by these."""
    return (
        GATES, CALLER_RULES, GROUNDS, AGREEMENT_RULES, AGREED_RULES, VIEW_RULES, RECORD_RULES
    )  # fmt: skip


def _without_people(facts: Facts, allowed: Allow) -> Allow:
    """Of what is not personal as a whole, nothing is counted by a column that is.

    Where small counts are suppressed, they are so by every column.
    """
    if facts.action is not Action.AGGREGATE or not _counts_plainly(facts, allowed):
        return allowed
    personal = {name for name, seen_by in facts.dataset.columns if _rank(seen_by) >= _PERSONAL}
    return replace(allowed, columns=allowed.columns - personal)


def _counts_plainly(facts: Facts, allowed: Allow) -> bool:
    """Whether every number is told, however few it counts, to somebody whose data it is not."""
    return allowed.ground != "own" and not facts.dataset.aggregate_only


def _judge_grounds(facts: Facts) -> Decision:
    fuller = _judge_caller(facts)
    if facts.action is Action.WRITE or facts.dataset.data_class != "public":
        return fuller
    public = _seen_up_to(facts, RANK["public"])
    # Some rows, or some requests a day, of no more than everybody's columns are less than those.
    if isinstance(fuller, Allow) and not (_is_bounded(fuller) and fuller.shown <= public):
        masks = tuple(each for each in fuller.masks if each[0] not in public)
        return replace(fuller, columns=fuller.columns | public, masks=masks)
    return Allow(public, "public")


def _is_bounded(allowed: Allow) -> bool:
    return bool(allowed.bounds) or allowed.per_day is not None


def _judge_caller(facts: Facts) -> Decision:
    """The grounds that need a caller: own data, the same body's internal data, an agreement."""
    caller = facts.caller
    if caller is None:
        return Deny(Reason.TOKEN_REQUIRED, rule="token")
    for rule in CALLER_RULES:
        if not rule.holds(facts, caller):
            return rule.refuse(facts, caller)
    # A token for one agreement acts under that one alone.
    for ground in GROUNDS if caller.agreement_id is None else ():
        if ground.holds(facts, caller):
            allowed = Allow(_seen_up_to(facts, ground.reach(caller)), ground.name)
            return _some_left(facts, allowed, viewed(facts, allowed))
    return _agreement_ground(facts, caller)


def _rank(data_class: str) -> int:
    return RANK.get(data_class, _BEYOND)


def ceiling(caller: Caller) -> int:
    """The highest class that this token can reach (trust.md, Clients).

    A bearer token is good for whoever holds it, and so for nothing above internal. A bound one is
    worth no more than the secret that it was got with.
    """
    return _proven_reach(caller.client) if caller.bound else RANK["internal"]


def _proven_reach(client: ClientFacts) -> int:
    return RANK["personal" if client.auth_method in _BY_KEY else "internal"]


def refuse_file(classes: Iterable[str], caller: Caller) -> Deny | None:
    """Why a file with data of these classes is not for this token to bring or to see, if it is not.

    A file has every column of every row. What is above personal is loaded by nobody, and refused
    for that reason.
    """
    rank = min(max(map(_rank, classes)), RANK["personal"])
    if rank > _proven_reach(caller.client):
        return Deny(Reason.CLIENT_TOO_WEAK)
    return Deny(Reason.TOKEN_NOT_BOUND) if rank > ceiling(caller) else None


def class_seen(dataset: DatasetFacts, allow: Allow) -> str:
    """The highest class of what may be seen: the dataset's own, or that of a column above it."""
    shown = allow.shown
    seen = [seen_by for name, seen_by in dataset.columns if name in shown]
    return max((dataset.data_class, *seen), key=_rank)


def _seen_up_to(facts: Facts, rank: int) -> frozenset[str]:
    return frozenset(name for name, seen_by in facts.dataset.columns if _rank(seen_by) <= rank)


def _some_left(facts: Facts, allowed: Allow, viewed: Allow) -> Decision:
    for rule in VIEW_RULES:
        if not rule.holds(facts, allowed, viewed):
            return rule.refuse(facts, allowed, viewed)
    return viewed


def looked_at(facts: Facts, consumer_id: str) -> tuple[tuple[AgreementFacts, Reason | None], ...]:
    """The consumer's agreements on the dataset, each with what keeps it from carrying this request.

    For explanations: by the very checks that decide.
    """
    return tuple(
        (each, why.reason if why else None) for each, why in _looked_at(facts, consumer_id)
    )


def _looked_at(facts: Facts, consumer_id: str) -> list[tuple[AgreementFacts, Deny | None]]:
    return [
        (each, _why_not(facts, each))
        for each in facts.agreements
        if each.is_for(consumer_id, facts.now)
    ]


def _agreed_reach(caller: Caller) -> int:
    """What is personal leaves under an agreement only on a token that is for that one."""
    return min(ceiling(caller), RANK["restricted" if caller.agreement_id is None else "personal"])


def _agreement_ground(facts: Facts, caller: Caller) -> Decision:
    """The widest agreement in force for this action and purpose, or the nearest reason why not."""
    only, view = caller.agreement_id, view_of(facts)
    seen = _seen_up_to(facts, _agreed_reach(caller))
    left = let_out(view, seen)
    refusal = Deny(Reason.NO_AGREEMENT, {"dataset": facts.dataset.id}, "agreement")
    best: AgreementFacts | None = None
    for agreement, why in _looked_at(facts, caller.client.organization_id):
        if only not in (None, agreement.id):
            continue
        if why is not None:
            refusal = _nearer(refusal, why)
        elif best is None or _width(agreement, left) > _width(best, left):
            best = agreement
    if best is None:
        return refusal
    bounds = (rows_of(best), best.per_day)
    return _what_is_left(facts, caller, Allow(best.columns & seen, "agreement", best.id, *bounds))


def _what_is_left(facts: Facts, caller: Caller, agreed: Allow) -> Decision:
    for rule in AGREED_RULES:
        if not rule.holds(facts, caller, agreed):
            return rule.refuse(facts, caller, agreed)
    return _some_left(facts, agreed, viewed(facts, agreed))


def _width(agreement: AgreementFacts, left: frozenset[str]) -> tuple[int, bool, float]:
    """By which one agreement is preferred: the columns left of it, all rows, requests a day.

    Never two together: a row of the one with a column of the other was agreed in neither.
    """
    per_day = math.inf if agreement.per_day is None else agreement.per_day
    return len(agreement.columns & left), agreement.rows is None, per_day


_NEARNESS: Final = (
    Reason.NO_AGREEMENT,
    Reason.ACTION_NOT_AGREED,
    Reason.PURPOSE_NOT_AGREED,
    Reason.AGREEMENT_REVOKED,
    Reason.AGREEMENT_EXPIRED,
    Reason.AGREEMENT_NOT_STARTED,
    Reason.AGREEMENT_SUSPENDED,
    Reason.EXCLUDED,
)


def _nearer(one: Deny, other: Deny) -> Deny:
    """Of two refusals the one that tells more: how close the caller came to an agreement."""
    return max(one, other, key=lambda deny: _NEARNESS.index(deny.reason))


def _why_not(facts: Facts, agreement: AgreementFacts) -> Deny | None:
    for rule in AGREEMENT_RULES:
        if not rule.holds(facts, agreement):
            return Deny(rule.reason, {"purpose": agreement.purpose}, rule.name)
    return None


def _scope(facts: Facts) -> str:
    return f"dataset:{facts.dataset.id}:{facts.action.needs}"


def _told_purposes(facts: Facts) -> dict[str, str]:
    given = {} if facts.purpose is None else {"purpose": facts.purpose}
    return {**given, "purposes": ", ".join(sorted(facts.purposes))}


def _is_home(facts: Facts) -> bool:
    """Data stays in its zone. Public data of the internet zone may be read from every zone."""
    dataset = facts.dataset
    if dataset.data_class == "public" and dataset.zone == "internet":
        return True
    zones = {facts.zone} | ({facts.caller.client.zone} if facts.caller else set())
    return zones == {dataset.zone} and dataset.zone in _ZONES


def _is_bound_where_personal(facts: Facts) -> bool:
    # Who shows no token at all is asked for one first, as everywhere (RFC 6750, 3.1).
    is_shown = facts.caller is not None and not facts.caller.bound
    return not is_shown or facts.dataset.data_class != "personal"


# What the dataset, the way here and the kind of request must be, whoever asks.
GATES: Final[tuple[Rule[[Facts]], ...]] = (
    Rule("action-known", Reason.ACTION_NOT_AGREED, lambda facts: isinstance(facts.action, Action)),
    Rule("dataset-in-force", Reason.WITHDRAWN, lambda facts: not facts.dataset.withdrawn),
    # 特定個人情報 never passes here; personal data is not even a matter of who asks with a token
    # that is not bound to its sender.
    Rule(
        "never-brokered",
        Reason.NEVER_BROKERED,
        lambda facts: facts.dataset.data_class != "specific-personal",
    ),
    Rule("sender-bound", Reason.TOKEN_NOT_BOUND, _is_bound_where_personal),
    Rule("class-known", Reason.NEVER_BROKERED, lambda facts: facts.dataset.data_class in RANK),
    Rule("zone", Reason.ZONE, _is_home, lambda facts: {"zone": facts.dataset.zone}),
)

# What the caller must be and have said, before any ground is looked for.
CALLER_RULES: Final[tuple[Rule[[Facts, Caller]], ...]] = (
    Rule("client-in-force", Reason.CLIENT_REVOKED, lambda _facts, who: not who.client.revoked),
    Rule(
        "proof-of-identity",
        Reason.CLIENT_TOO_WEAK,
        lambda facts, who: _rank(facts.dataset.data_class) <= _proven_reach(who.client),
    ),
    # Before the scope, which a token that is not bound cannot have been given.
    Rule(
        "proof-of-sender",
        Reason.TOKEN_NOT_BOUND,
        lambda facts, who: _rank(facts.dataset.data_class) <= ceiling(who),
    ),
    Rule(
        "scope",
        Reason.SCOPE,
        lambda facts, who: _scope(facts) in who.scope,
        lambda facts, _who: {"scope": _scope(facts)},
    ),
    Rule(
        "purpose-given",
        Reason.PURPOSE_REQUIRED,
        lambda facts, _who: facts.action is Action.WRITE or facts.purpose is not None,
        lambda facts, _who: _told_purposes(facts),
    ),
    Rule(
        "purpose-known",
        Reason.PURPOSE_UNKNOWN,
        lambda facts, _who: facts.action is Action.WRITE or facts.purpose in facts.purposes,
        lambda facts, _who: _told_purposes(facts),
    ),
    Rule(
        "purpose-of-token",
        Reason.PURPOSE_NOT_AGREED,
        lambda facts, who: facts.action is Action.WRITE or who.purpose in (None, facts.purpose),
        lambda _facts, who: {"purpose": str(who.purpose)},
    ),
)


def _is_of_the_body(facts: Facts, caller: Caller) -> bool:
    """庁内: every unit of the same local government reads what is internal, and only reads."""
    return (
        facts.action is not Action.WRITE
        and _rank(facts.dataset.data_class) <= RANK["internal"]
        and caller.client.body_id == facts.dataset.body_id
    )


GROUNDS: Final = (
    Ground(
        "own", lambda facts, who: who.client.organization_id == facts.dataset.publisher_id, ceiling
    ),
    Ground("body", _is_of_the_body, lambda _who: RANK["internal"]),
)

# In this order, so that the reason found first is the one that must be mended first.
AGREEMENT_RULES: Final[tuple[Rule[[Facts, AgreementFacts]], ...]] = (
    Rule(
        "action-agreed",
        Reason.ACTION_NOT_AGREED,
        lambda facts, a: facts.action.needs in a.actions,
    ),
    Rule(
        "purpose-agreed",
        Reason.PURPOSE_NOT_AGREED,
        lambda facts, a: facts.action is Action.WRITE or facts.purpose == a.purpose,
    ),
    Rule("not-revoked", Reason.AGREEMENT_REVOKED, lambda _facts, a: a.state != "revoked"),
    Rule("not-over", Reason.AGREEMENT_EXPIRED, lambda facts, a: facts.now < a.valid_until),
    Rule("begun", Reason.AGREEMENT_NOT_STARTED, lambda facts, a: a.valid_from <= facts.now),
    # Any state that is not plainly active refuses: a state we cannot read is not a yes.
    Rule("in-force", Reason.AGREEMENT_SUSPENDED, lambda _facts, a: a.state == "active"),
    Rule(
        "not-excluded",
        Reason.EXCLUDED,
        lambda facts, a: (
            facts.caller is not None and facts.caller.client.organization_id not in a.excluded
        ),
    ),
)

# What must be left of the widest agreement in force.
AGREED_RULES: Final[tuple[Rule[[Facts, Caller, Allow]], ...]] = (
    Rule(
        "agreement-named",
        Reason.AGREEMENT_NOT_NAMED,
        lambda facts, who, _allow: _rank(facts.dataset.data_class) <= _agreed_reach(who),
        lambda facts, _who, _allow: {"dataset": facts.dataset.id},
    ),
    Rule("columns-left", Reason.NO_COLUMNS, lambda _facts, _who, allow: bool(allow.columns)),
)

# What must be left of what a ground gives, when the publisher's view of the purpose is cut from it.
VIEW_RULES: Final[tuple[Rule[[Facts, Allow, Allow]], ...]] = (
    Rule(
        "left-for-purpose",
        Reason.NOT_FOR_PURPOSE,
        lambda _facts, allowed, viewed: bool(viewed.shown) or not allowed.columns,
        lambda facts, _allowed, _viewed: {"purpose": facts.purpose or ""},
    ),
    # Where no field says whom a record is about, nobody can have consented.
    Rule(
        "subject-told",
        Reason.SUBJECT_UNTOLD,
        lambda _facts, _allowed, viewed: viewed.consent is None or bool(viewed.consent.subject),
        lambda facts, _allowed, _viewed: {"dataset": facts.dataset.id},
    ),
)

# Where records are only counted, no ground but one's own shows a single one.
RECORD_RULES: Final[tuple[Rule[[Facts, Allow]], ...]] = (
    Rule(
        "records-given",
        Reason.AGGREGATE_ONLY,
        lambda facts, allow: (
            facts.action is not Action.READ
            or not facts.dataset.aggregate_only
            or allow.ground == "own"
        ),
        lambda facts, _allow: {"dataset": facts.dataset.id},
    ),
    # A count of personal records may be one of a single person, or become it by subtraction.
    Rule(
        "people-suppressed",
        Reason.SUPPRESSION_NEEDED,
        lambda facts, allow: (
            facts.action is not Action.AGGREGATE
            or _rank(facts.dataset.data_class) < _PERSONAL
            or not _counts_plainly(facts, allow)
        ),
        lambda facts, _allow: {"dataset": facts.dataset.id},
    ),
)
