"""Which masks a verdict puts on a version's fields, and whose stand-ins they give. Reads no row.

What cannot be masked as it was declared is not shown. No key leaves here but into a statement's
parameters.
"""

import hmac
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from app.catalogue.entries import DatasetEntry, VersionEntry
from app.catalogue.views import about_key
from app.kit.crypto import Sealer
from app.policy.facts import Caller
from app.policy.verdicts import Allow
from app.query.masks import Masked, NotAMask, Way, read_mask

_BLOCK_BYTES: Final = 64  # of SHA-256 (FIPS 180-4)
Pads = tuple[bytes, bytes]


@dataclass(frozen=True, slots=True)
class Masks:
    """The masked fields of a version, and by column the padded keys of those with stand-ins."""

    fields: tuple[Masked, ...] = ()
    told: tuple[tuple[str, str], ...] = ()  # as they were declared
    pads: Mapping[str, Pads] = field(default_factory=dict, repr=False)


NO_MASKS: Final = Masks()


def masks_for(
    entry: DatasetEntry, version: VersionEntry, allow: Allow, caller: Caller | None, sealer: Sealer
) -> Masks:
    """What the verdict leaves of fields for this caller."""
    if not allow.masks:
        return NO_MASKS
    found = []
    for name, text in allow.masks:
        here = version.fields.get(name)
        try:
            found += [Masked(here, read_mask(text, here))] if here is not None else []
        except NotAMask:  # the field's type is another than when the mask was declared
            continue
    # A part of somebody's name is a name: that the field is one may have been declared later.
    found = [
        each
        for each in found
        if each.field.name != entry.facts.subject or each.mask.way is Way.PSEUDONYMISE
    ]
    named = [each for each in found if each.mask.way is Way.PSEUDONYMISE]
    if not named or entry.sealed_key is None or caller is None:
        return Masks(tuple(each for each in found if each not in named), allow.masks)
    secret = sealer.unseal(entry.sealed_key, about=about_key(entry.id))
    consumer = caller.client.organization_id
    pads = {
        each.field.column: _pads(_key(secret, entry.id, consumer, each.field.name))
        for each in named
    }
    return Masks(tuple(found), allow.masks, pads)


def told_by(allow: Allow, caller: Caller | None) -> tuple[Any, ...]:
    """What an answer with masks depends on beside its question: the masks, and whom it is for."""
    if not allow.masks:
        return ()
    return (allow.masks, caller.client.organization_id if caller is not None else None)


def _key(secret: bytes, dataset: str, consumer: str, name: str) -> bytes:
    """One for each organisation and field, so that no two of them can be joined."""
    return hmac.digest(secret, json.dumps([dataset, consumer, name]).encode(), "sha256")


def _pads(key: bytes) -> Pads:
    """The inner and the outer key of HMAC (RFC 2104, 2); PostgreSQL hashes behind them."""
    whole = key.ljust(_BLOCK_BYTES, b"\0")
    return bytes(each ^ 0x36 for each in whole), bytes(each ^ 0x5C for each in whole)
