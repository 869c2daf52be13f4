"""Files by SFTP. The server is known by its host key alone, and nothing of this machine's own SSH
settings, keys or agents is used.
"""

import asyncio
import socket
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Iterator, Mapping
from contextlib import AsyncExitStack, aclosing, asynccontextmanager, contextmanager, suppress
from typing import TYPE_CHECKING, Any, Final, cast

import asyncssh

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
    PIECE,
    Entry,
    Opened,
    Place,
    missing,
    when,
    whole,
)  # fmt: skip
from app.connectors.places.settings import KeyPair, PlaceSettings, at_home, host_key_of, login_of
from app.kit.outbound import Outbound, OutboundUnreachable

if TYPE_CHECKING:
    from asyncssh import SFTPAttrs, SFTPClient, SFTPName, SSHClientConnection, SSHKey

_CONNECT_SECONDS: Final = 15


# The first that fits tells of it.
_FAILURES: Final[tuple[tuple[Any, type[SourceError], str, str], ...]] = (
    (asyncssh.HostKeyNotVerifiable, SourceUnreachable, "host_key", "-"),
    ((asyncssh.PermissionDenied, asyncssh.KeyImportError, asyncssh.KeyEncryptionError),
     SourceRefused, "credentials", "-"),
    (asyncssh.SFTPPermissionDenied, SourceRefused, "permission", "-"),
    ((asyncssh.ConnectionLost, asyncssh.SFTPConnectionLost, asyncssh.SFTPNoConnection,
      ConnectionResetError, BrokenPipeError), SourceBroken, "cut_off", "-"),
    (asyncssh.SFTPError, SourceBroken, "server", "SFTP"),
    ((asyncssh.Error, asyncssh.ChannelOpenError), SourceBroken, "format", "SSH"),
    (TimeoutError, SourceSlow, "silence", "-"),
    ((socket.gaierror, UnicodeError), SourceUnreachable, "name", "-"),
    (OSError, SourceUnreachable, "connection", "-"),
)  # fmt: skip


class _Known(asyncssh.SSHClient):
    """Takes one host key, told by its fingerprint."""

    def __init__(self, fingerprint: str) -> None:
        self._fingerprint = fingerprint

    def validate_host_public_key(self, host: str, addr: str, port: int, key: "SSHKey") -> bool:
        del host, addr, port
        return key.get_fingerprint() == self._fingerprint


class SftpPlace(Place):
    """A folder of an SFTP server, over one connection."""

    def __init__(self, settings: PlaceSettings, sftp: "SFTPClient") -> None:
        self.host = settings.host
        self._base = at_home(settings)
        self._sftp = sftp

    async def check(self) -> None:
        """That the base is there, and can be listed."""
        async with aclosing(self.entries("")) as entries:
            async for _ in entries:
                return

    async def look(self, path: str) -> Entry:
        """What is at a path; links are the server's to follow."""
        async with _asked(self.host, path):
            return _entry(path, await self._sftp.stat(self._at(path)))

    async def entries(self, folder: str) -> AsyncGenerator[Entry, None]:
        """Plain files and folders; what a link leads to is what counts."""
        names = cast("AsyncGenerator[SFTPName, None]", self._sftp.scandir(self._at(folder)))
        try:
            for _ in range(MOST_ENTRIES):
                async with _asked(self.host, folder):
                    each = await anext(names, None)
                if each is None:
                    return
                entry = await self._listed(folder, str(each.filename), each.attrs)
                if entry is not None:
                    yield entry
        finally:
            await _quietly(names.aclose())
        raise SourceBroken(source=self.host, at="crowded", detail=MOST_ENTRIES)

    async def _listed(self, folder: str, name: str, told: "SFTPAttrs") -> Entry | None:
        if name in (".", "..") or "/" in name:
            return None
        path = f"{folder}/{name}" if folder else name
        if told.type != asyncssh.FILEXFER_TYPE_SYMLINK:
            return _entry(path, told)
        with suppress(SourceBroken, SourceRefused):  # it leads nowhere, or where we may not go
            return await self.look(path)
        return None

    @asynccontextmanager
    async def read(
        self, entry: Entry, known: Mapping[str, Any] | None = None
    ) -> AsyncIterator[Opened | None]:
        """The bytes; at their end the file is to be as it was."""
        del known
        async with _asked(self.host, entry.path):
            file = await self._sftp.open(self._at(entry.path), "rb")
        try:
            yield Opened(whole(self._pieces(file, entry), entry, self.host), entry.proof)
        finally:
            await _quietly(file.close())

    async def _pieces(self, file: Any, entry: Entry) -> AsyncIterator[bytes]:
        while True:
            async with _asked(self.host, entry.path):
                piece = await file.read(PIECE)
                if not piece:
                    told = _entry(entry.path, await file.stat())
                    break
            yield piece
        if told != entry:
            raise SourceBroken(source=self.host, at="moving")

    def _at(self, path: str) -> str:
        return f"{self._base.rstrip('/')}/{path}" if path else self._base


@asynccontextmanager
async def sftp_place(settings: PlaceSettings, outbound: Outbound) -> AsyncIterator[SftpPlace]:
    """A place over a connection of its own, to an address that was judged."""
    async with AsyncExitStack() as stack:
        with _told(settings.host, "/"):
            async with asyncio.timeout(_CONNECT_SECONDS):
                connection = await _connected(settings, outbound)
        stack.push_async_callback(_closed, connection)
        async with _asked(settings.host, "/"):
            sftp = await connection.start_sftp_client(
                path_encoding=settings.names, path_errors="surrogateescape"
            )
        stack.callback(sftp.exit)
        yield SftpPlace(settings, sftp)


async def _connected(settings: PlaceSettings, outbound: Outbound) -> "SSHClientConnection":
    """To the first of the addresses that lets itself be connected to."""
    found = await outbound.addresses(settings.host, settings.port, is_plain=False)
    user, password = login_of(settings)
    proof = settings.auth
    keys = [await asyncio.to_thread(_private, proof)] if isinstance(proof, KeyPair) else None
    kind, told = host_key_of(settings.host_key or "")
    trusted = [asyncssh.import_public_key(told)] if kind == "key" else []
    for last, address in enumerate(found, 1 - len(found)):
        try:
            return await asyncssh.connect(
                address,
                settings.port,
                client_factory=lambda: _Known(told),
                known_hosts=(trusted, [], []),  # empty, it would be this user's own file
                username=user,
                password=password,
                client_keys=keys,
                preferred_auth=["publickey"] if keys else ["password", "keyboard-interactive"],
                agent_path=None,
                config=None,
                x509_trusted_certs=None,
                gss_host=None,
                keepalive_interval=SILENT_SECONDS / 2,
                login_timeout=_CONNECT_SECONDS,
            )
        except OSError:
            if last == 0:
                raise
    raise OutboundUnreachable(host=settings.host)


def _private(proof: KeyPair) -> "SSHKey":
    # Opening it may take a second: what protects it is meant to be slow.
    phrase = proof.passphrase.get_secret_value() if proof.passphrase is not None else None
    return asyncssh.import_private_key(proof.private_key.get_secret_value(), phrase)


async def _closed(connection: "SSHClientConnection") -> None:
    connection.abort()
    await _quietly(connection.wait_closed())


async def _quietly(closing: Awaitable[None]) -> None:
    """Nobody waits long for a goodbye."""
    with suppress(asyncssh.Error, OSError, TimeoutError):
        async with asyncio.timeout(2):
            await closing


def _entry(path: str, told: "SFTPAttrs") -> Entry:
    is_folder = told.type == asyncssh.FILEXFER_TYPE_DIRECTORY
    return Entry(path, is_folder, None if is_folder else told.size, when(told.mtime))


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
    except (asyncssh.SFTPNoSuchFile, asyncssh.SFTPNoSuchPath, asyncssh.SFTPNotADirectory) as exc:
        raise missing(host, path) from exc
    except (asyncssh.Error, asyncssh.ChannelOpenError, OSError, ValueError) as exc:
        for kinds, means, at, detail in _FAILURES:
            if isinstance(exc, kinds):
                raise means(source=host, at=at, detail=detail) from exc
        raise
