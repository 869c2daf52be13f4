"""Whether a source would answer, in words for an operator. Loads nothing."""

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from app.connectors.errors import SourceError, SourceSlow
from app.connectors.frame import AnyConnector, Proposal, Shape
from app.connectors.kinds import contained
from app.kit.errors import AppError

_MOST_SECONDS: Final = 45.0
_MOST_DISCOVERING: Final = 300.0  # a portal is asked for each of its tables
_FINE: Final = ("応答を確認しました。", "It answers.")
_TOO_LONG: Final = ("確認が時間内に終わりませんでした。", "The check did not end in time.")


@dataclass(frozen=True, slots=True)
class Found:
    """How one question was answered; `dataset` None: the source itself."""

    dataset: str | None
    ok: bool
    ja: str
    en: str
    error_class: str | None = None
    at: str | None = None
    code: str | None = None


async def check_all(connector: AnyConnector, selections: Mapping[str, Shape]) -> list[Found]:
    """The source, and where that answers each dataset's selection."""
    found = [await _check(connector, None, None)]
    if found[0].ok:
        for dataset, selection in selections.items():
            found.append(await _check(connector, dataset, selection))
    return found


async def discovered(connector: AnyConnector) -> Sequence[Proposal]:
    """What a source could feed. Raises `SourceError`, for one too that goes on telling."""
    try:
        async with asyncio.timeout(_MOST_DISCOVERING):
            with contained(connector):
                return await connector.discover()
    except TimeoutError:
        raise SourceSlow(source=connector.kind, at="silence") from None


async def _check(connector: AnyConnector, dataset: str | None, selection: Shape | None) -> Found:
    try:
        async with asyncio.timeout(_MOST_SECONDS):
            with contained(connector):
                await connector.check(selection)
    except SourceError as wrong:
        return Found(
            dataset,
            False,
            wrong.words("ja"),
            wrong.words("en"),
            wrong.told_as,
            wrong.at,
            wrong.code,
        )
    except AppError as refusal:  # ours: where we do not go
        return Found(
            dataset, False, refusal.words("ja"), refusal.words("en"), "ours", None, refusal.code
        )
    except TimeoutError:
        return Found(dataset, False, *_TOO_LONG, "slow", "silence", "source_slow")
    return Found(dataset, True, *_FINE)
