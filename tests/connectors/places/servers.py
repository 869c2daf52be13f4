"""Real servers of files for tests: SFTP, FTP(S), WebDAV and S3, each with a folder of its own."""

import os
import secrets
import threading
import warnings
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from functools import partial
from ipaddress import ip_address
from pathlib import Path
from typing import Any

import asyncssh
import pytest
from cheroot.wsgi import Server
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID
from pys3local.metadata_db import MetadataDB
from pys3local.providers.local import LocalStorageProvider
from pys3local.server import create_s3_app
from wsgidav.wsgidav_app import WsgiDAVApp

from tests.files.test_bucket import KEYS, verify_addresses
from tests.serving import served

with warnings.catch_warnings():  # it brings modules along that Python 3.12 has no more, and says so
    warnings.simplefilter("ignore", DeprecationWarning)
    from pyftpdlib.authorizers import DummyAuthorizer
    from pyftpdlib.handlers import FTPHandler, TLS_FTPHandler
    from pyftpdlib.ioloop import IOLoop
    from pyftpdlib.servers import FTPServer

USER, PASSWORD = "reader", "hidden-" + secrets.token_hex(4)


@dataclass(slots=True)
class Serving:
    """A server that runs: its address, the folder that it shows, and who asks it now."""

    root: Path
    address: str
    settings: dict[str, Any] = field(default_factory=dict)
    open_now: int = 0
    asked: list[str] = field(default_factory=list)
    provider: LocalStorageProvider | None = None
    known_hosts: str = ""

    def at(self, folder: str, **more: object) -> dict[str, Any]:
        """Settings for a folder below its root."""
        return {"base": f"{self.address}/{folder}", **self.settings, **more}

    def put(self, path: str, body: bytes, at: float | None = None) -> None:
        """A file that it has from now on."""
        if self.provider is not None:
            self.provider.put_object("", path, body)
            return
        put(self.root / path, body, at)

    def remove(self, path: str) -> None:
        """It has it no more."""
        if self.provider is not None:
            self.provider.delete_object("", path)
            return
        (self.root / path).unlink()


def put(path: Path, body: bytes, at: float | None = None) -> Path:
    """A file, with a time of its own."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(body)
    if at is not None:
        os.utime(path, (at, at))
    return path


class _Ssh(asyncssh.SSHServer):
    def __init__(self, its: Serving, keys: Path) -> None:
        self._its, self._keys = its, keys

    def connection_made(self, conn: asyncssh.SSHServerConnection) -> None:
        self._its.open_now += 1
        self._conn = conn

    def connection_lost(self, exc: Exception | None) -> None:
        self._its.open_now -= 1

    def begin_auth(self, username: str) -> bool:
        self._conn.set_authorized_keys(str(self._keys))
        return True

    def password_auth_supported(self) -> bool:
        return True

    def validate_password(self, username: str, password: str) -> bool:
        return (username, password) == (USER, PASSWORD)


class _Chrooted(asyncssh.SFTPServer):
    def __init__(self, chan: asyncssh.SSHServerChannel[bytes], its: Serving) -> None:
        super().__init__(chan, chroot=os.fsencode(its.root))
        self._its = its

    def open(self, path: bytes, pflags: int, attrs: asyncssh.SFTPAttrs) -> Any:
        self._its.asked.append(path.decode())
        if path.endswith(b"closed.csv"):
            raise asyncssh.SFTPPermissionDenied("no")
        return super().open(path, pflags, attrs)


@asynccontextmanager
async def sftp(root: Path, keys: Path) -> AsyncIterator[Serving]:
    """An SFTP server; `keys` is who may sign in by a key."""
    its = Serving(root, "")
    host_key = asyncssh.generate_private_key("ssh-ed25519")
    server = await asyncssh.listen(
        "127.0.0.1", 0, server_host_keys=[host_key], server_factory=lambda: _Ssh(its, keys),
        sftp_factory=partial(_Chrooted, its=its), config=[], gss_host=None,
    )  # fmt: skip
    its.address = f"sftp://127.0.0.1:{server.get_port()}"
    its.known_hosts = f"[127.0.0.1]:{server.get_port()} {host_key.export_public_key().decode()}"
    auth = {"type": "basic", "user": USER, "password": PASSWORD}
    its.settings = {"auth": auth, "host_key": host_key.get_fingerprint()}
    async with server:
        yield its


def _named(name: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ip_address(name))
    except ValueError:
        return x509.DNSName(name)


def certificate(folder: Path, name: str, *, days: int = 1) -> Path:
    """A certificate of its own authority, and its key; with negative days it is over."""
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    end = datetime.now(UTC) + timedelta(days=days)
    made = (
        x509.CertificateBuilder().subject_name(subject).issuer_name(subject)
        .public_key(key.public_key()).serial_number(x509.random_serial_number())
        .not_valid_before(end - timedelta(days=30)).not_valid_after(end)
        .add_extension(x509.SubjectAlternativeName([_named(name)]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )  # fmt: skip
    plain = serialization.NoEncryption()
    private = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, plain
    )
    file = folder / f"{secrets.token_hex(4)}.pem"
    file.write_bytes(private + made.public_bytes(serialization.Encoding.PEM))
    return file


def _ftp_handler(its: Serving, tls: Path | None, *, old: bool) -> type[FTPHandler]:
    class Handler(FTPHandler if tls is None else TLS_FTPHandler):  # type: ignore[misc]
        authorizer = DummyAuthorizer()
        banner = "ready"
        auth_failed_timeout = 0
        use_sendfile = False

        def on_connect(self) -> None:
            its.open_now += 1

        def on_disconnect(self) -> None:
            its.open_now -= 1

        def pre_process_command(self, line: str, cmd: str, arg: str) -> None:
            its.asked.append(cmd)
            if old and cmd in ("MLSD", "MLST", "EPSV"):
                self.respond("502 Not implemented.")
                return
            super().pre_process_command(line, cmd, arg)

    if tls is not None:
        Handler.certfile = str(tls)
        Handler.tls_control_required = Handler.tls_data_required = True
    Handler.authorizer.add_user(USER, PASSWORD, str(its.root), perm="elr")
    return Handler


@contextmanager
def ftp(
    root: Path, tls: Path | None = None, *, old: bool = False, **more: object
) -> Iterator[Serving]:
    """An FTP server in a thread. `old`: without MLSD, MLST and EPSV; `more` is the handler's own."""
    its = Serving(root, "")
    handler = _ftp_handler(its, tls, old=old)
    for name, value in more.items():
        setattr(handler, name, value)
    server = FTPServer(("127.0.0.1", 0), handler, ioloop=IOLoop())
    its.address = f"{'ftp' if tls is None else 'ftps'}://127.0.0.1:{server.address[1]}"
    its.settings = {"auth": {"type": "basic", "user": USER, "password": PASSWORD}}
    stop = threading.Event()

    def serve() -> None:
        while not stop.is_set():
            server.ioloop.loop(0.02, blocking=False)
        server.close_all()

    thread = threading.Thread(target=serve)
    thread.start()
    try:
        yield its
    finally:
        stop.set()
        thread.join()


def _counted(app: Callable[..., Any], its: Serving) -> Callable[..., Any]:
    """Counts what a WSGI application is answering now."""

    def count(environ: dict[str, Any], start: Callable[..., Any]) -> Iterator[bytes]:
        its.open_now += 1
        its.asked.append(f"{environ['REQUEST_METHOD']} {environ['PATH_INFO']}")
        try:
            yield from app(environ, start)
        finally:
            its.open_now -= 1

    return count


@contextmanager
def dav(root: Path) -> Iterator[Serving]:
    """A WebDAV server in a thread."""
    its = Serving(root, "")
    app = WsgiDAVApp({
        "provider_mapping": {"/": str(root)},
        "simple_dc": {"user_mapping": {"*": {USER: {"password": PASSWORD}}}},
        "http_authenticator": {"accept_basic": True, "accept_digest": False, "default_to_digest": False},
        "verbose": 0,
        "logging": {"enable": False},
        "lock_storage": False,
        "property_manager": False,
    })  # fmt: skip
    server = Server(("127.0.0.1", 0), _counted(app, its), numthreads=2)
    server.timeout = 0.3  # seconds
    server.prepare()
    thread = threading.Thread(target=server.serve)
    thread.start()
    its.address = f"dav://127.0.0.1:{server.bind_addr[1]}"
    its.settings = {"auth": {"type": "basic", "user": USER, "password": PASSWORD}}
    try:
        yield its
    finally:
        server.stop()
        thread.join()


@asynccontextmanager
async def s3(root: Path, patch: pytest.MonkeyPatch) -> AsyncIterator[Serving]:
    """A service that speaks S3, and checks signed addresses. Its objects come by `provider`."""
    its = Serving(root, "s3://default")
    provider = LocalStorageProvider(root, metadata_db=MetadataDB(root.parent / "s3.db"))
    app = create_s3_app(provider, *KEYS, region="us-east-1")
    its.provider = provider

    async def counting(scope: Any, receive: Any, send: Any) -> None:
        its.open_now += 1
        its.asked.append(f"{scope.get('method')} {scope.get('path')}")
        try:
            await app(scope, receive, send)
        finally:
            its.open_now -= 1

    async with served(counting) as port:
        verify_addresses(port, patch)
        auth = {"type": "access_key", "key_id": KEYS[0], "secret": KEYS[1]}
        its.settings = {"auth": auth, "endpoint": f"http://127.0.0.1:{port}"}
        yield its
