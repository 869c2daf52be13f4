"""How old the facts of a decision may be, by data class: a replica that is cut off must stop."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Final

from app.policy.facts import Action, Facts
from app.policy.verdicts import Deny, Reason

# Seconds since memory and database were last known to agree.
BOUNDS_S: Final[Mapping[str, int]] = {
    "public": 86_400,
    "internal": 300,
    "restricted": 300,
    "personal": 30,
    "specific-personal": 30,
}
# Seconds without an entry in the log after which delicate data stop: nobody could say who had them.
LOG_BOUND_S: Final = 900
_NEEDS_LOG: Final = frozenset({"restricted", "personal", "specific-personal"})
_SHORTEST_S: Final = min(BOUNDS_S.values())


def is_too_old(data_class: str, seconds: float) -> bool:
    """Whether facts of this age decide nothing about the class; an unknown class waits least."""
    return seconds > BOUNDS_S.get(data_class, _SHORTEST_S)


def waits_for_log(data_class: str, seconds: float) -> bool:
    """Whether data of the class stay here while the log has taken nothing for so long."""
    is_delicate = data_class in _NEEDS_LOG or data_class not in BOUNDS_S
    return is_delicate and seconds > LOG_BOUND_S


def is_of_now(seconds: float) -> bool:
    """Whether facts of this age are left whole for every class."""
    return seconds <= _SHORTEST_S


def still_known(facts: Facts, seconds: float) -> Facts | Deny:
    """The facts without what they are too old for, or the refusal where nothing is left.

    A dataset may have columns above its class, and what a caller was given is as delicate as
    internal data: of an old public dataset everybody sees what anybody may, and nobody writes.
    """
    if is_of_now(seconds):
        return facts
    dataset = facts.dataset
    knows_callers = not is_too_old("internal", seconds)
    is_unjudged_write = facts.action is Action.WRITE and not knows_callers
    if is_unjudged_write or is_too_old(dataset.data_class, seconds):
        return Deny(Reason.FACTS_TOO_OLD, {"dataset": dataset.id}, "age-of-facts")
    columns = tuple(each for each in dataset.columns if not is_too_old(each[1], seconds))
    caller = facts.caller if knows_callers else None
    return replace(facts, dataset=replace(dataset, columns=columns), caller=caller)
