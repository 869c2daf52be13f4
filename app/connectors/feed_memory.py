"""What a harvest remembers of telegrams, so that none is asked for twice. Plain JSON, and small.

Holds what the source publishes to everybody, and nobody's data.
"""

import base64
import hashlib
import zlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Final

import orjson

from app.connectors.frame import Known
from app.connectors.jma import Event

_MOST: Final = 4 << 20  # packed; what is more is asked for anew
_VERSION: Final = 1


@dataclass(slots=True)
class Memory:
    """The last word of each series, and the entries that it was learnt from."""

    events: dict[str, Event] = field(default_factory=dict)
    seen: dict[str, None] = field(default_factory=dict)  # in order

    @classmethod
    def of(cls, known: Known | None) -> "Memory":
        """As it was; empty where it cannot be read, or was of another edition."""
        packed = known.validators.get("memory") if known is not None else None
        if not isinstance(packed, str):
            return cls()
        try:
            told = orjson.loads(zlib.decompress(base64.b85decode(packed)))
            if told["version"] != _VERSION:
                return cls()
            events = [Event.from_json(each) for each in told["events"]]
            return cls({each.series: each for each in events}, dict.fromkeys(told["seen"]))
        except (ValueError, zlib.error, LookupError, TypeError):
            return cls()

    def as_validators(self) -> dict[str, str]:
        """To be kept until the next harvest; nothing where it is too much."""
        told = {
            "version": _VERSION,
            "events": [each.as_json() for each in self.events.values()],
            "seen": list(self.seen),
        }
        packed = base64.b85encode(zlib.compress(orjson.dumps(told))).decode()
        return {"memory": packed} if len(packed) <= _MOST else {}

    def has_seen(self, entry: Mapping[str, Any]) -> bool:
        """Whether an entry's telegram was read."""
        return _name(entry) in self.seen

    def learn(self, entry: Mapping[str, Any], event: Event, status: str) -> None:
        """Take in a telegram; of another status it is seen, and no more."""
        self.seen[_name(entry)] = None
        if event.status == status:
            self.events[event.series] = event.after(self.events.get(event.series))

    def forget_all_but(self, listed: Iterable[Mapping[str, Any]]) -> None:
        """Entries that a feed lists no more need not be known by name."""
        names = {_name(each) for each in listed}
        self.seen = {name: None for name in self.seen if name in names}

    def forget_before(self, moment: datetime) -> None:
        """Let go of what ended before a moment."""
        kept = (each for each in self.events.values() if each.lasts_until >= moment)
        self.events = {each.series: each for each in kept}


def _name(entry: Mapping[str, Any]) -> str:
    told = f"{entry['id']}\n{entry['updated_at']}\n{entry['link']}"
    return hashlib.sha256(told.encode("utf-8", "replace")).hexdigest()[:20]
