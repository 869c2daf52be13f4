"""One page of an answer that is read on from: plain values for the doors."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Page:
    """Encoded. `next_link` is there while more is waiting, `receipt` where the log has an entry."""

    body: bytes
    next_link: str | None
    receipt: int | None
    is_public: bool
