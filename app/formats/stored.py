"""A file as the worker has it: bytes on a local disk, read as often as needed, never changed."""

from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO


@dataclass(frozen=True, slots=True)
class StoredFile:
    """The file, and the name under which its publisher sent it (a hint, never a proof).

    `scratch` is a folder of the run's own: what a reader must unpack goes there and is gone with it.
    """

    path: Path
    scratch: Path
    name: str | None = None

    def open(self) -> BinaryIO:
        """The bytes from the beginning."""
        return self.path.open("rb")

    @property
    def size(self) -> int:
        """Bytes."""
        return self.path.stat().st_size

    @property
    def suffix(self) -> str:
        """The lower-case ending of the publisher's name, with its dot; empty where there is none."""
        return Path(self.name).suffix.lower() if self.name else ""
