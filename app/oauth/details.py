"""Authorization details (RFC 9396) of a token request, read strictly. Asks no agreement anything."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, Final
from uuid import UUID

import orjson

from app.oauth import scopes
from app.oauth.refusals import InvalidDetails

TYPE: Final = "dataset-agreement"
_MEMBERS: Final = frozenset({"type", "agreement", "actions"})
ACTIONS: Final = ("read", "write")


@dataclass(frozen=True, slots=True)
class Details:
    """The one agreement that a token is asked for, and what is to be done under it."""

    agreement_id: str
    actions: tuple[str, ...]

    def granted(self, scope: Iterable[str]) -> "Details":
        """What of it a token of this scope was given: it may be less than was asked."""
        named = (scopes.dataset_of(token) for token in scope)
        given = {each[1].value for each in named if each is not None}
        return Details(self.agreement_id, tuple(a for a in self.actions if a in given))

    def as_json(self) -> list[dict[str, Any]]:
        """As the answer has it (RFC 9396, 7)."""
        return [{"type": TYPE, "agreement": self.agreement_id, "actions": list(self.actions)}]


def read_details(text: str) -> Details:
    """One object of the type `dataset-agreement`, with nothing unknown in it, or the refusal."""
    try:
        found = orjson.loads(text)
    except ValueError as exc:
        raise _unreadable("malformed") from exc
    if not isinstance(found, list) or len(found) != 1 or not isinstance(found[0], dict):
        raise _unreadable("not_one")
    detail = found[0]
    if detail.keys() != _MEMBERS or detail["type"] != TYPE:
        raise _unreadable("type")
    actions = detail["actions"]
    if not isinstance(actions, list) or not actions or any(a not in ACTIONS for a in actions):
        raise _unreadable("actions")
    if len(set(actions)) != len(actions) or not _is_id(detail["agreement"]):
        raise _unreadable("agreement")
    return Details(detail["agreement"], tuple(actions))


def _is_id(value: object) -> bool:
    """Whether it is an agreement's id exactly as we write it."""
    try:
        return isinstance(value, str) and str(UUID(value)) == value
    except ValueError:
        return False


def _unreadable(why: str) -> InvalidDetails:
    shape = f'[{{"type": "{TYPE}", "agreement": "<uuid>", "actions": ["read"]}}]'
    return InvalidDetails(
        f"details_{why}", mend_ja=f"{shape} の形です。", mend_en=f"its form is {shape}."
    )
