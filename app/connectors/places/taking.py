"""What every kind that is fed by files does with a place: look, choose, read. It reads no format."""

import heapq
from collections.abc import AsyncGenerator, AsyncIterator, Mapping, Sequence
from contextlib import AsyncExitStack, aclosing, asynccontextmanager
from glob import escape
from typing import Any, ClassVar, Final, TypeVar

from app.connectors.errors import SourceBroken
from app.connectors.frame import Capabilities, Connector, Harvest, Known, Proposal, Shape
from app.connectors.places.choosing import Chosen, chosen, looked, settled
from app.connectors.places.opening import check_settings, opened_place
from app.connectors.places.place import Entry, Opened, Place, listed
from app.connectors.places.settings import PlaceSettings
from app.connectors.places.unpacking import unpacked
from app.formats.individual_number import holds_number

_SHOWN_FILES: Final = 50
_BOM: Final = b"\xef\xbb\xbf"

Selection = TypeVar("Selection", bound=Chosen)


class FilesConnector(Connector[PlaceSettings, Selection]):
    """Base of the kinds that take files, whatever is in them."""

    settings_shape: ClassVar[type[Shape]] = PlaceSettings
    capabilities = Capabilities(notices_changes=True, discovers=True)

    def told(self, selection: Selection) -> Mapping[str, Any] | None:
        """How the take-in is to read the file."""
        raise NotImplementedError

    def joins_lines(self, selection: Selection) -> bool:
        """Whether parts are lines, of which a heading can be left out."""
        del selection
        return True

    def check_entries(self, selection: Selection, entries: Sequence[Entry]) -> None:
        """Refuse files that by their looks alone cannot be what is meant."""

    def check_settings(self) -> None:
        """Raises `OutboundRefused` or `FolderNotLent`."""
        check_settings(self.settings, self.means)

    async def check(self, selection: Selection | None = None) -> None:
        """Look at the base; with a selection, choose its file and open it."""
        async with opened_place(self.settings, self.means) as place:
            if selection is None:
                await place.check()
                return
            entries = await chosen(place, selection)
            if entries is None:
                raise SourceBroken(source=place.host, at="unready", detail=selection.path)
            self.check_entries(selection, entries)
            for each in await looked(place, entries[:1]):
                async with place.read(each):
                    pass

    @asynccontextmanager
    async def harvest(
        self, selection: Selection, known: Known | None = None, first: int | None = None
    ) -> AsyncIterator[Harvest | None]:
        """The file as it is, once it is whole; until then nothing has changed. `first` is not for
        whole files."""
        del first
        async with AsyncExitStack() as stack:
            place = await stack.enter_async_context(opened_place(self.settings, self.means))
            entries = await chosen(place, selection)
            if entries is None:
                yield None
                return
            entries = await looked(place, entries)
            proof = known.validators if known is not None else None
            if proof is not None and proof == _proof(entries):
                yield None
                return
            if not await settled(place, entries, selection):
                yield None
                return
            self.check_entries(selection, entries)
            opened = await stack.enter_async_context(
                _read(place, entries, self._headings(selection), proof)
            )
            if opened is None:
                yield None
                return
            pieces, name = opened.pieces, place.name_of(entries[0])
            if selection.inner is not None:
                inside = unpacked(pieces, name, selection.inner, place.host)
                pieces, name = await stack.enter_async_context(inside)
            yield Harvest(pieces, name or None, self.told(selection), opened.proof)

    def _headings(self, selection: Selection) -> int | None:
        """The lines that each part repeats; None where parts have no lines."""
        if selection.parts is None or not self.joins_lines(selection):
            return None
        return selection.parts.heading_lines

    async def discover(self) -> Sequence[Proposal]:
        """The files of the base, newest first; a Web server does not list what it has."""
        async with opened_place(self.settings, self.means) as place:
            found = [
                each
                async for each in listed(place, "")
                if not each.is_folder and not holds_number(each.name.encode())
            ]
        newest = heapq.nlargest(_SHOWN_FILES, found, key=_modified)
        return [Proposal(each.name, {"path": escape(each.name)}) for each in newest]


def _modified(entry: Entry) -> float:
    return entry.modified.timestamp() if entry.modified is not None else 0.0


def _proof(entries: Sequence[Entry]) -> dict[str, Any] | None:
    """What proves all parts; None where one of them cannot be proved."""
    proofs = [each.proof for each in entries]
    if len(proofs) == 1:
        return proofs[0]
    return None if None in proofs else {"parts": proofs}


@asynccontextmanager
async def _read(
    place: Place, entries: Sequence[Entry], headings: int | None, known: Mapping[str, Any] | None
) -> AsyncIterator[Opened | None]:
    """One file as it is, or its parts joined."""
    if len(entries) == 1:
        async with place.read(entries[0], known) as opened:
            yield opened
        return
    async with aclosing(_joined(place, entries, headings)) as pieces:
        yield Opened(pieces, _proof(entries))


async def _joined(
    place: Place, entries: Sequence[Entry], headings: int | None
) -> AsyncGenerator[bytes, None]:
    """The parts in order. Lines begin anew with each, and headings are of the first alone."""
    last = b"\n"
    for at, entry in enumerate(entries):
        async with place.read(entry) as opened:
            if opened is None:
                continue
            pieces = opened.pieces
            if at and headings is not None:
                pieces = _without(pieces, headings)
                if not last.endswith(b"\n"):
                    yield b"\n"
            async for piece in pieces:
                if piece:
                    last = piece[-1:]
                    yield piece


async def _without(pieces: AsyncIterator[bytes], lines: int) -> AsyncIterator[bytes]:
    """What comes behind the first lines, and behind the mark of UTF-8."""
    is_first = True
    async for piece in pieces:
        rest = piece.removeprefix(_BOM) if is_first else piece
        is_first = False
        while lines and rest:
            _, end, rest = rest.partition(b"\n")
            lines -= 1 if end else 0
        yield rest
