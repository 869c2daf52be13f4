"""What is asked through an agent, and the messages that its answer is made of. Sends nothing.

An answer is messages in order: a head, pieces of a file, an end. What an agent says is a stranger's
word: nothing of it but the pieces reaches anybody unread.
"""

from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import AbstractAsyncContextManager
from dataclasses import asdict, dataclass
from typing import Any, Final, Literal, TypeAlias, get_args
from uuid import UUID

import orjson

from app.connectors import errors
from app.connectors.errors import WHY, CannotAnswer, SourceBroken, SourceError, SourceRefused
from app.connectors.frame import Harvest

What: TypeAlias = Literal["check", "harvest", "fetch", "discover"]
_WHATS: Final[tuple[str, ...]] = get_args(What)
HEAD: Final = b"H"
DATA: Final = b"D"
END: Final = b"E"
_LONGEST_DETAIL: Final = 100
_WAYS: Final[Mapping[str, type[SourceError]]] = {
    each.told_as: each
    for each in (
        errors.SourceUnreachable,
        errors.SourceBroken,
        errors.SourceRefused,
        errors.SourceSlow,
        errors.SourceChanged,
    )
}


@dataclass(frozen=True, slots=True)
class Wanted:
    """One piece of work for an agent. `by_file`: nobody is asked, what was carried here is taken."""

    what: What
    source: str
    agreement: str | None = None  # under which the agent's side lets it be had
    selection: Mapping[str, Any] | None = None
    known: Mapping[str, Any] | None = None
    first: int | None = None
    question: Mapping[str, Any] | None = None
    by_file: bool = False

    def to_json(self) -> dict[str, Any]:
        """As it travels."""
        told = asdict(self)
        del told["by_file"]
        return told

    @classmethod
    def from_json(cls, told: Mapping[str, Any]) -> "Wanted":
        """Raises `TypeError` and `KeyError` for what is none."""
        made = cls(**told)
        if made.what not in _WHATS or not isinstance(made.source, str):
            raise TypeError(made.what)
        return made


def agreement_of(named: str | None) -> UUID | None:
    """The agreement of the platform that is named, in letters of either case; None where the name is
    of the agent's side alone, as that of a paper."""
    try:
        found = UUID(named or "")
    except ValueError:
        return None
    return found if str(found) == (named or "").lower() else None


# How a connector has work done by an agent of its organisation: the messages of the answer, in order.
Relay: TypeAlias = Callable[[Wanted], AbstractAsyncContextManager[AsyncIterator[bytes]]]


def head_of(harvest: Harvest | None) -> bytes:
    """The head of an answer; without a harvest nothing has changed."""
    told: dict[str, Any] = {"unchanged": True}
    if harvest is not None:
        told = {
            "name": harvest.name, "told": harvest.told, "validators": harvest.validators,
            "delta": harvest.delta, "is_empty": harvest.is_empty,
        }  # fmt: skip
    return HEAD + orjson.dumps(told)


def end_of(refusal: SourceError | CannotAnswer | None = None) -> bytes:
    """The end of an answer, and why it ends early. An error's words are made where they are read."""
    if refusal is None:
        return END + b"{}"
    if isinstance(refusal, CannotAnswer):
        return END + b'{"error":"cannot"}'
    told = {
        "error": refusal.told_as, "at": refusal.at, "detail": str(refusal.detail),
        "after": refusal.after_seconds,
    }  # fmt: skip
    return END + orjson.dumps(told)


def read_json(message: bytes, source: str) -> dict[str, Any]:
    """What a head or an end says. Raises `SourceBroken`."""
    try:
        told = orjson.loads(message[1:])
    except ValueError:
        told = None
    if not isinstance(told, dict):
        raise not_spoken(source)
    return told


def check_end(message: bytes, source: str) -> None:
    """Raise what an end tells of the source."""
    told = read_json(message, source)
    if not told:
        return
    if told.get("error") == "cannot":
        why, why_ja = "its source does not answer questions", "連携元が問い合わせに対応していません"
        raise CannotAnswer(connector="agent", why=why, why_ja=why_ja)
    way, at, after = _WAYS.get(str(told.get("error"))), told.get("at"), told.get("after")
    if way is None or at not in WHY:
        raise not_spoken(source)
    detail = "".join(each for each in str(told.get("detail")) if each.isprintable())
    is_time = isinstance(after, int | float) and 0 <= after < 86_400
    raise way(
        source=source,
        at=str(at),
        detail=detail[:_LONGEST_DETAIL] or "-",
        after_seconds=float(after) if is_time and after is not None else None,
    )


def not_spoken(source: str) -> SourceBroken:
    """An answer that is none."""
    return SourceBroken(source=source, at="format", detail="an agent's answer")


def not_allowed(source: str) -> SourceRefused:
    """What the agent's side has not let be had."""
    return SourceRefused(source=source, at="not_allowed")
