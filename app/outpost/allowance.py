"""What an agent may serve, in its own hands: sources with their secrets, and what of each under
which agreement. Nothing that a platform says makes it more.

The agent signs it once its keeper says so; a file that was changed since is not served from.
"""

import hashlib
from collections.abc import Iterator
from datetime import date
from pathlib import Path
from typing import Annotated, Any, Final

import orjson
from joserfc.jwk import ECKey
from pydantic import BaseModel, ConfigDict, Field, StringConstraints, ValidationError

from app.connectors.agent import SourceName
from app.connectors.frame import AnyConnector, Means, Shape
from app.connectors.kinds import Kinds, opened
from app.connectors.relayed import Wanted, not_allowed
from app.connectors.relayed_questions import from_json, names_of
from app.kit import clock
from app.kit.errors import AppError, Fault, Kind
from app.outpost import signed
from app.outpost.signed import ALLOWANCE, WordRefused

_MOST: Final = 200


class AllowanceWrong(AppError):
    """The file does not say what may be served."""

    kind = Kind.INVALID
    code = "agent_allowance_wrong"
    ja = "{path} の内容に誤りがあります。"
    en = "{path} does not say what may be served."


class AllowanceNotSigned(AppError):
    """Nobody has said yes to what the file says now."""

    kind = Kind.FORBIDDEN
    code = "agent_allowance_not_signed"
    ja = "{path} は署名されていないか、署名後に変更されています。内容を確認し、urbanos agent allow を実行してください。"
    en = "{path} is not signed, or was changed since. Look at it, then run urbanos agent allow."


class Serve(BaseModel):
    """One thing that may be had of a source."""

    model_config = ConfigDict(extra="forbid", frozen=True, hide_input_in_errors=True)

    agreement: Annotated[str, StringConstraints(min_length=1, max_length=200)]
    select: dict[str, Any] = Field(default_factory=dict)
    until: date | None = None  # the last day, in Japan
    answers: tuple[str, ...] = ()  # fields that questions at request time may name


class Source(BaseModel):
    """A source as a connector has it; `settings` hold its secrets."""

    model_config = ConfigDict(extra="forbid", frozen=True, hide_input_in_errors=True)

    kind: str
    settings: dict[str, Any] = Field(repr=False)
    serves: Annotated[tuple[Serve, ...], Field(max_length=_MOST)] = ()


class Allowance(BaseModel):
    """All of it. `outbound_allow` and `folders`: what connectors may reach here."""

    model_config = ConfigDict(extra="forbid", frozen=True, hide_input_in_errors=True)

    sources: Annotated[dict[SourceName, Source], Field(max_length=_MOST)]
    outbound_allow: str = ""
    folders: tuple[Path, ...] = ()

    @classmethod
    def read(cls, path: Path, told: bytes) -> "Allowance":
        """What a file says. Raises `AllowanceWrong`."""
        try:
            return cls.model_validate_json(told)
        except ValidationError as wrong:
            raise AllowanceWrong(path=path, faults=list(_faults("", wrong))) from None

    def check(self, path: Path, kinds: Kinds, means: Means) -> None:
        """Raise `AllowanceWrong` where a kind does not take what is said, and what it refuses."""
        faults: list[Fault] = []
        for name, source in self.sources.items():
            at, kind = f"/sources/{name}", kinds.get(source.kind)
            try:
                opened(kind, source.settings, means).check_settings()
            except ValidationError as wrong:
                faults += _faults(f"{at}/settings", wrong)
            for number, each in enumerate(source.serves):
                try:
                    kind.selection_shape.model_validate(each.select)
                except ValidationError as wrong:
                    faults += _faults(f"{at}/serves/{number}/select", wrong)
        if faults:
            raise AllowanceWrong(path=path, faults=faults)

    def source_of(self, wanted: Wanted) -> Source:
        """The source of a job that may be done. Raises `SourceRefused`.

        A source may be checked, and what may be had of it told; its data need a line of their own.
        """
        source = self.sources.get(wanted.source)
        if source is None:
            raise not_allowed(wanted.source)
        return source

    def selection_of(self, wanted: Wanted, kind: type[AnyConnector]) -> Shape:
        """What a job selects, where that very selection is served under its agreement today.

        It is the keeper's own selection that is given back. Raises `SourceRefused`.
        """
        for each in self.source_of(wanted).serves:
            served = kind.selection_shape.model_validate(each.select)
            is_agreed = each.agreement == wanted.agreement and _lasts(each)
            if is_agreed and _same(kind, served, wanted) and _asks_within(each, wanted):
                return served
        raise not_allowed(wanted.source)

    def shown(self, source: str) -> list[dict[str, Any]]:
        """What may be had of a source today."""
        serves = self.sources[source].serves
        return [
            {"agreement": each.agreement, "select": each.select} for each in serves if _lasts(each)
        ]


def signature(key: ECKey, agent_id: str, told: bytes) -> str:
    """A keeper's yes to what a file says, as the agent's key gives it."""
    now = int(clock.now().timestamp())
    claims = {"iss": agent_id, "sha256": hashlib.sha256(told).hexdigest(), "iat": now}
    return signed.sign(key, ALLOWANCE, claims)


def check_signature(path: Path, told: bytes, word: str, key: ECKey, agent_id: str) -> None:
    """Raise `AllowanceNotSigned` unless `word` is the agent's yes to this file."""
    try:
        claims = signed.opened(word, ALLOWANCE, {key.thumbprint(): key})
    except WordRefused:
        raise AllowanceNotSigned(path=path) from None
    if (claims.get("iss"), claims.get("sha256")) != (agent_id, hashlib.sha256(told).hexdigest()):
        raise AllowanceNotSigned(path=path)


def _lasts(each: Serve) -> bool:
    return each.until is None or clock.now().astimezone(clock.TOKYO).date() <= each.until


def _asks_within(each: Serve, wanted: Wanted) -> bool:
    """Whether a question names nothing but what it may; all else takes what is selected."""
    if wanted.what != "fetch":
        return True
    try:
        return names_of(from_json(wanted.question or {})) <= set(each.answers)
    except (KeyError, TypeError, ValueError):
        return False


def _same(kind: type[AnyConnector], served: Shape, wanted: Wanted) -> bool:
    if wanted.selection is None:
        return False
    try:
        asked = kind.selection_shape.model_validate(dict(wanted.selection))
    except ValidationError:
        return False
    # By their canonical text: 1, 1.0 and true are equal in Python, and are not the same.
    return _canonical(served) == _canonical(asked)


def _canonical(shape: Shape) -> bytes:
    return orjson.dumps(shape.model_dump(mode="json", by_alias=True), option=orjson.OPT_SORT_KEYS)


def _faults(at: str, wrong: ValidationError) -> Iterator[Fault]:
    for each in wrong.errors(include_input=False, include_url=False, include_context=False):
        place = "/".join([at, *map(str, each["loc"])])
        yield Fault(place, each["type"], f"値が正しくありません（{each['type']}）。", each["msg"])
