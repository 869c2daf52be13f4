"""The examples of mappings, tried before a mapping or the fields that it makes are kept.

Holds no session while they are tried, and asks no source.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from sqlalchemy.ext.asyncio import AsyncSession

from app.catalogue.connectors import ConnectorInvalid, NewFeed, check_steps
from app.catalogue.fields import declare
from app.catalogue.refusals import DatasetInvalid
from app.connectors.preview import Previews, Trial
from app.kit.errors import Fault
from app.models.connectors import Feed
from app.models.datasets import Dataset

_CODE: Final = "mapping_example_failed"


@dataclass(frozen=True, slots=True)
class Tried:
    """A trial, and where the examples stand in what was sent."""

    trial: Trial
    at: str


async def of_feeds(session: AsyncSession, feeds: Sequence[NewFeed]) -> list[Tried]:
    """What is to be tried before these feeds are kept. What else is wrong with them is found later.

    Raises `ConnectorInvalid` for examples of a dataset without fields.
    """
    made = []
    for number, new in enumerate(feeds):
        if not new.examples:
            continue
        dataset = await session.get_one(Dataset, new.dataset)
        steps = new.mapping if new.mapping is not None else dataset.mapping
        faults = check_steps(
            dataset, steps if steps is not None else [], f"/feeds/{number}/mapping"
        )
        if faults:
            raise ConnectorInvalid(faults=faults)
        trial = Trial(dataset.fields or [], steps, new.examples)
        made.append(Tried(trial, f"/feeds/{number}/examples"))
    return made


async def of_dataset(
    session: AsyncSession, dataset_id: str, changes: Mapping[str, Any]
) -> list[Tried]:
    """What is to be tried before a dataset's fields or mapping become what `changes` says."""
    feed = await session.get(Feed, dataset_id)
    if feed is None or not feed.examples or changes.keys().isdisjoint(("fields", "mapping")):
        return []
    dataset = await session.get_one(Dataset, dataset_id)
    fields = dataset.fields
    if "fields" in changes:
        wrong: list[Fault] = []
        declared = declare(changes["fields"] or (), wrong)
        if wrong:
            return []  # refused for that
        fields = [each.as_json() for each in declared]
    mapping = changes.get("mapping", dataset.mapping)
    steps = feed.mapping if feed.mapping is not None else mapping
    at = "/fields" if "fields" in changes else "/mapping"
    return [Tried(Trial(fields or [], steps, feed.examples), at)]


async def check_feeds(previews: Previews, tried: Sequence[Tried]) -> None:
    """Raises `ConnectorInvalid` where an example does not hold."""
    if faults := await _faults(previews, tried):
        raise ConnectorInvalid(faults=faults)


async def check_dataset(previews: Previews, tried: Sequence[Tried]) -> None:
    """Raises `DatasetInvalid` where an example would not hold any more."""
    if faults := await _faults(previews, tried):
        raise DatasetInvalid(faults=[Fault(tried[0].at, _CODE, e.ja, e.en) for e in faults])


async def _faults(previews: Previews, tried: Sequence[Tried]) -> list[Fault]:
    if not tried:
        return []
    found = await previews.try_examples([each.trial for each in tried])
    return [
        Fault(
            f"{one.at}/{number}{where}", _CODE, f"対応付けの例が成り立ちません（{where}）: {ja}",
            f"An example of the mapping does not hold ({where}): {en}",
        )
        for one, wrong in zip(tried, found, strict=True)
        for number, faults in enumerate(wrong)
        for where, ja, en in faults
    ]  # fmt: skip
