"""Bytes on their way from a quick giver to a taker of any pace: kept in a temporary file, not in
memory, and not in a database connection that waits."""

import asyncio
import tempfile
from typing import Final

_IN_MEMORY: Final = 4 << 20
_PIECE: Final = 256 << 10


class Spool:
    """One giver puts and finishes, one taker takes. Empties its file whenever the taker is even."""

    def __init__(self) -> None:
        self._file = tempfile.SpooledTemporaryFile(max_size=_IN_MEMORY)  # noqa: SIM115
        self._put = self._taken = 0
        self._is_finished = False
        self._news = asyncio.Event()

    def put(self, piece: bytes | bytearray) -> None:
        """Add bytes behind those not yet taken."""
        self._file.seek(self._put)
        self._file.write(piece)
        self._put += len(piece)
        self._news.set()

    def finish(self) -> None:
        """Say that nothing more comes."""
        self._is_finished = True
        self._news.set()

    async def take(self) -> bytes:
        """The next bytes, waiting for them; none at the end."""
        while self._taken == self._put:
            if self._is_finished:
                return b""
            self._news.clear()
            await self._news.wait()
        self._file.seek(self._taken)
        piece: bytes = self._file.read(min(_PIECE, self._put - self._taken))
        self._taken += len(piece)
        if self._taken == self._put:
            self._file.seek(0)
            self._file.truncate()
            self._put = self._taken = 0
        return piece

    def close(self) -> None:
        """Give the file back."""
        self._file.close()
