"""Files by FTP, plain or with explicit TLS, passive only. What a server says of where its data are
is never believed: a data connection goes to the address that was judged.
"""

import asyncio
import socket
import ssl
from collections.abc import AsyncGenerator, AsyncIterator, Iterator, Mapping
from contextlib import asynccontextmanager, contextmanager
from datetime import datetime
from typing import Any, Final

import aioftp

from app.connectors.errors import (
    SourceBroken,
    SourceError,
    SourceRefused,
    SourceSlow,
    SourceUnreachable,
)
from app.connectors.frame import SILENT_SECONDS
from app.connectors.places.place import (
    MOST_ENTRIES,
    Entry,
    Opened,
    Place,
    missing,
    size_of,
    usual,
    whole,
)
from app.connectors.places.settings import PlaceSettings, at_home, login_of
from app.kit.outbound import Outbound, OutboundUnreachable

_CONNECT_SECONDS: Final = 15
_BLOCK: Final = 1 << 18
_MOST_SAID: Final = 256 << 10  # characters of one answer


# The first that fits tells of it.
_FAILURES: Final[tuple[tuple[Any, type[SourceError], str, str], ...]] = (
    (ssl.SSLError, SourceUnreachable, "tls", "-"),
    (TimeoutError, SourceSlow, "silence", "-"),
    ((ConnectionResetError, BrokenPipeError, EOFError), SourceBroken, "cut_off", "-"),
    (socket.gaierror, SourceUnreachable, "name", "-"),
    (OSError, SourceUnreachable, "connection", "-"),
    ((UnicodeDecodeError, UnicodeEncodeError), SourceBroken, "charset", "names"),
    # The library reads what comes as if it were FTP.
    ((ValueError, LookupError, OverflowError), SourceBroken, "format", "FTP"),
)  # fmt: skip


class _Named(ssl.SSLContext):
    """Expects a certificate of the name that was asked for, though an address is connected to."""

    name = ""
    session: ssl.SSLSession | None = None  # to be taken up again: many servers ask it of data

    def wrap_bio(self, incoming: Any, outgoing: Any, *given: Any, **more: Any) -> ssl.SSLObject:
        """As it is, but for the name and the session."""
        told = {**more, "server_hostname": self.name, "session": self.session}
        return super().wrap_bio(incoming, outgoing, *given, **told)


class _Client(aioftp.Client):
    """Speaks TLS over a data connection once its command is accepted, as servers expect it
    (RFC 4217, 12.6), and lets go of every connection, those of refused commands too."""

    def __init__(self, tls: _Named | None, **given: Any) -> None:
        super().__init__(**given)
        self._tls = tls
        self._writers: list[asyncio.StreamWriter] = []
        self._left = 0  # characters that an answer may still have

    async def parse_response(self) -> tuple[aioftp.Code, list[str]]:
        """As it is, but for an answer of lines without end."""
        self._left = _MOST_SAID
        return await super().parse_response()

    async def parse_line(self) -> tuple[aioftp.Code, str]:
        """One line of an answer."""
        code, rest = await super().parse_line()
        self._left -= len(rest) + len(code)
        if self._left < 0:
            raise ValueError
        return code, rest

    async def _open_connection(
        self, host: str, port: int
    ) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        async with asyncio.timeout(self.connection_timeout):
            reader, writer = await asyncio.open_connection(host, port)
        self._writers = [*(each for each in self._writers if not each.is_closing()), writer]
        return reader, writer

    async def get_stream(  # type: ignore[override]  # it is awaited, and never entered
        self, command: str, expected_codes: str = "1xx", **_: Any
    ) -> aioftp.DataConnectionThrottleStreamIO:
        """The data connection of a command."""
        reader, writer = await self.get_passive_connection()
        await self.command(command, expected_codes)
        stream = aioftp.DataConnectionThrottleStreamIO(
            self, reader, writer, throttles={"_": self.throttle}, timeout=self.socket_timeout
        )
        if self._tls is not None:
            control = self.stream.writer.transport.get_extra_info("ssl_object")
            self._tls.session = control.session
            await stream.start_tls(self._tls, self._tls.name)
        return stream

    def close(self) -> None:
        """Let go of all of them."""
        super().close()
        for each in self._writers:
            each.close()


class FtpPlace(Place):
    """A folder of an FTP server, over one control connection."""

    def __init__(self, settings: PlaceSettings, client: _Client) -> None:
        self.host = settings.host
        self._base = at_home(settings)
        self._client = client

    async def check(self) -> None:
        """That the base is there, and can be listed."""
        async with _asked(self.host, "/"):
            home = await self._client.get_current_directory()
            await self._client.change_directory(self._base)
            await self._client.change_directory(home)
        async for _ in self.entries(""):
            pass  # a listing that is not read to its end holds up what is asked next

    async def look(self, path: str) -> Entry:
        """What is at a path: by MLST, and of an older server by SIZE and MDTM."""
        async with _asked(self.host, path):
            try:
                _, info = await self._client.command(f"MLST {self._at(path)}", "2xx")
                return _entry(path, self._client.parse_mlsx_line(info[1].lstrip())[1])
            except aioftp.StatusCodeError as exc:
                if not exc.received_codes[-1].matches("50x"):
                    raise
            await self._client.command("TYPE I", "200")
            _, size = await self._client.command(f"SIZE {self._at(path)}", "213")
            _, time = await self._client.command(f"MDTM {self._at(path)}", "213")
            return _entry(path, {"size": size[-1].strip(), "modify": time[-1].strip()})

    async def entries(self, folder: str) -> AsyncGenerator[Entry, None]:
        """What MLSD lists, or LIST of an older server."""
        names = aiter(self._client.list(self._at(folder)))
        for _ in range(MOST_ENTRIES):
            async with _asked(self.host, folder):
                each = await anext(names, None)
            if each is None:
                return
            name, told = each[0].name, each[1]
            if told.get("type") in ("file", "dir") and name not in ("", ".", ".."):
                yield _entry(f"{folder}/{name}" if folder else name, told)
        raise SourceBroken(source=self.host, at="crowded", detail=MOST_ENTRIES)

    @asynccontextmanager
    async def read(
        self, entry: Entry, known: Mapping[str, Any] | None = None
    ) -> AsyncIterator[Opened | None]:
        """The bytes; at their end the file is to be as it was."""
        del known
        async with _asked(self.host, entry.path):
            stream = await self._client.get_stream(f"RETR {self._at(entry.path)}")
        try:
            yield Opened(whole(self._pieces(stream, entry), entry, self.host), entry.proof)
        finally:
            stream.close()

    async def _pieces(
        self, stream: aioftp.DataConnectionThrottleStreamIO, entry: Entry
    ) -> AsyncIterator[bytes]:
        while True:
            async with _asked(self.host, entry.path):
                piece = await stream.read(_BLOCK)
                if not piece:
                    await stream.finish()  # and says whether that was all
                    break
            yield piece
        if await self.look(entry.path) != entry:
            raise SourceBroken(source=self.host, at="moving")

    def _at(self, path: str) -> str:
        return f"{self._base.rstrip('/')}/{path}" if path else self._base


@asynccontextmanager
async def ftp_place(settings: PlaceSettings, outbound: Outbound) -> AsyncIterator[FtpPlace]:
    """A place over a control connection of its own, to an address that was judged."""
    is_plain = settings.scheme == "ftp"
    with _told(settings.host, "/"):
        async with asyncio.timeout(_CONNECT_SECONDS):
            found = await outbound.addresses(settings.host, settings.port, is_plain=is_plain)
    tls = None if is_plain else await asyncio.to_thread(_tls, settings)
    client = _Client(
        tls,
        socket_timeout=SILENT_SECONDS,
        connection_timeout=_CONNECT_SECONDS,
        encoding=settings.names,
        trust_server_pasv_ipv4_address=False,
    )
    try:
        async with _asked(settings.host, "/"):
            await _signed_in(client, settings, found, tls)
        yield FtpPlace(settings, client)
    finally:
        client.close()


async def _signed_in(
    client: _Client, settings: PlaceSettings, found: list[str], tls: _Named | None
) -> None:
    for last, address in enumerate(found, 1 - len(found)):
        try:
            await client.connect(address, settings.port)
            break
        except OSError:
            if last == 0:
                raise
    if tls is not None:
        await client.upgrade_to_tls(tls)
    user, password = login_of(settings)
    try:
        await client.login(user, password or "")
    except aioftp.StatusCodeError as exc:
        raise SourceRefused(source=settings.host, at="credentials") from exc


def _tls(settings: PlaceSettings) -> _Named:
    made = _Named(ssl.PROTOCOL_TLS_CLIENT)
    made.name = settings.host
    if settings.ca is None:
        made.load_default_certs()
    else:
        made.load_verify_locations(cadata=settings.ca)
    return made


def _entry(path: str, told: Mapping[str, Any]) -> Entry:
    """Times are UTC by RFC 3659; where LIST tells another, it still tells later from earlier."""
    try:
        modified = datetime.strptime(str(told.get("modify", ""))[:14], "%Y%m%d%H%M%S")
    except ValueError:
        modified = None
    is_folder = told.get("type") == "dir"
    return Entry(
        path,
        is_folder,
        None if is_folder else size_of(str(told.get("size", ""))),
        usual(modified) if modified is not None else None,
    )


@asynccontextmanager
async def _asked(host: str, path: str) -> AsyncIterator[None]:
    with _told(host, path):
        async with asyncio.timeout(SILENT_SECONDS):
            yield


@contextmanager
def _told(host: str, path: str) -> Iterator[None]:
    """What the library and the server say, as it is said of a source."""
    try:
        yield
    except OutboundUnreachable as exc:
        raise SourceUnreachable(source=host, at=exc.cause.value) from exc
    except aioftp.StatusCodeError as exc:
        raise _of_code(host, path, str(exc.received_codes[-1])) from exc
    except (OSError, EOFError, ValueError, LookupError, OverflowError) as exc:
        for kinds, means, at, detail in _FAILURES:
            if isinstance(exc, kinds):
                raise means(source=host, at=at, detail=detail) from exc
        raise


def _of_code(host: str, path: str, code: str) -> Exception:
    """RFC 959, 4.2.2. 550 is both "no such file" and "no access"; servers use it for the first."""
    if code in ("530", "532", "332"):
        return SourceRefused(source=host, at="credentials")
    if code in ("550", "501"):
        return missing(host, path)
    if code in ("500", "502", "504", "534", "431"):
        return SourceBroken(source=host, at="format", detail="FTPS")
    if code in ("425", "426", "451"):
        return SourceBroken(source=host, at="cut_off")
    if code == "421":
        return SourceSlow(source=host, at="pace")
    return SourceBroken(source=host, at="server", detail=f"FTP {code}")
