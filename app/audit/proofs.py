"""Proofs that an entry is in the log and that the log only grew. They show hashes and counts only.

Every proof is of a tree that a signed checkpoint speaks of, or of a smaller one.
"""

from dataclasses import dataclass
from typing import Any

import asyncpg

from app.audit import tree
from app.audit.merkle import Span, consistency_spans, inclusion_spans
from app.kit.errors import AppError, Kind


class NotSignedYet(AppError):
    """The proof would be of more entries than the newest checkpoint speaks of."""

    kind = Kind.NOT_FOUND
    code = "log_size_unknown"
    ja = (
        "最新のチェックポイントは記録 {size} 件までです（{asked} は含まれません）。"
        "新しい記録は1分以内に署名されます。"
    )
    en = (
        "The newest checkpoint speaks of {size} entries, and {asked} is not among them."
        " New entries are signed within a minute."
    )


class LogUnprovable(AppError):
    """The stored tree is damaged: no proof of it can be given."""

    kind = Kind.UNAVAILABLE
    code = "log_damaged"
    ja = (
        "ログの検証用ツリーが壊れています。運営者に urbanos audit verify の実行を依頼してください。"
    )
    en = "The tree over the log is damaged. Ask the operator to run `urbanos audit verify`."


@dataclass(frozen=True, slots=True)
class Inclusion:
    """That the entry with this index is in the tree of this size (RFC 6962, 2.1.1)."""

    index: int
    size: int
    leaf: str
    path: list[str]


@dataclass(frozen=True, slots=True)
class Consistency:
    """That the tree of the second size begins with that of the first (RFC 6962, 2.1.2)."""

    first: int
    second: int
    path: list[str]


async def inclusion(
    pool: "asyncpg.Pool[Any]", index: int, size: int | None, signed: int
) -> Inclusion:
    """The proof of one entry. Raises `NotSignedYet`, `LogUnprovable`."""
    size = signed if size is None else size
    if not index < size <= signed:
        raise NotSignedYet(size=signed, asked=f"index={index}, size={size}")
    leaf, *path = await nodes(pool, [(index, index + 1), *inclusion_spans(index, size)])
    return Inclusion(index, size, leaf.hex(), [node.hex() for node in path])


async def consistency(
    pool: "asyncpg.Pool[Any]", first: int, second: int | None, signed: int
) -> Consistency:
    """The proof that the log grew between two sizes. Raises `NotSignedYet`, `LogUnprovable`."""
    second = signed if second is None else second
    if not first <= second <= signed:
        raise NotSignedYet(size=signed, asked=f"from={first}, to={second}")
    path = await nodes(pool, consistency_spans(first, second))
    return Consistency(first, second, [node.hex() for node in path])


async def nodes(pool: "asyncpg.Pool[Any]", spans: list[Span]) -> list[bytes]:
    """Nodes of the stored tree. Raises `LogUnprovable`."""
    try:
        return await tree.roots_of(pool, spans)
    except tree.LogBroken as exc:
        raise LogUnprovable from exc
