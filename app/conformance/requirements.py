"""What of the standard somebody requires: conformance classes, and versions of standard layouts.

Checks that they are there; whether anybody meets them it does not know.
"""

import difflib
from collections.abc import Collection, Sequence
from dataclasses import dataclass

from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncSession

from app.conformance.refusals import RequirementsInvalid
from app.conformance.services import CLASSES
from app.kit import clock
from app.kit.errors import Fault
from app.models.profiles import Profile


@dataclass(frozen=True, slots=True)
class Requirements:
    """Classes in the order of the standard, and layouts as name/version."""

    classes: tuple[str, ...] = ()
    profiles: tuple[str, ...] = ()

    @property
    def names(self) -> tuple[str, ...]:
        """All of them."""
        return (*self.classes, *self.profiles)


async def checked(
    session: AsyncSession, classes: Collection[str], profiles: Sequence[str], *, within: str = ""
) -> Requirements:
    """The requirements, `core` among the classes: all others stand on it, and so does a layout.
    `within`: where in the body they were said.

    Raises `RequirementsInvalid`, for a layout too that no certificate can be issued for now.
    """
    wanted = tuple(dict.fromkeys(profiles))
    known = await in_force(session)
    faults = [
        *(
            _no_class(f"{within}/classes/{at}", each)
            for at, each in enumerate(classes)
            if each not in CLASSES
        ),
        *(
            _unknown(f"{within}/profiles/{at}", each, known)
            for at, each in enumerate(wanted)
            if each not in known
        ),
    ]
    if faults:
        raise RequirementsInvalid(faults=faults)
    is_any = bool(classes or wanted)
    held = tuple(each for each in CLASSES if each in classes or (is_any and each == "core"))
    return Requirements(held, wanted)


async def in_force(session: AsyncSession) -> list[str]:
    """The layouts that a certificate can be issued for now, as name/version."""
    now = clock.now()
    its = select(Profile.name, Profile.version, Profile.sunset_at)
    found = await session.execute(its.where(Profile.published_at <= now))
    return [f"{name}/{version}" for name, version, end in found if end is None or end > now]


def _no_class(pointer: str, named: str) -> Fault:
    known = ", ".join(CLASSES)
    return Fault(
        pointer, "conformance_class_unknown",
        f"適合クラス {named} はありません。使えるのは {known} です。",
        f"There is no conformance class {named}. There are {known}.",
    )  # fmt: skip


def _unknown(pointer: str, named: str, known: Sequence[str]) -> Fault:
    near = difflib.get_close_matches(named, known, n=1, cutoff=0.5)
    ja = f"{near[0]} のことですか。" if near else "GET /v1/profiles で確認してください。"
    en = f"Did you mean {near[0]}?" if near else "GET /v1/profiles lists them."
    return Fault(
        pointer, "profile_not_in_force", f"有効なレイアウト {named} はありません。{ja}",
        f"There is no layout {named} in force. {en}",
    )  # fmt: skip
