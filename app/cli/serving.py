"""One serving process: the ports, the database, the worker as a child, the HTTP servers. In order.

Each zone has an application of its own, which knows one zone only: nothing that a request brings
can tell it of another. A listener hands on to its zone's, or to that of a gateway that proved itself.

What is started last is stopped first, on Ctrl-C and on SIGTERM alike. A child dies with us, even
when we are killed: it watches a pipe of which only we hold the other end.
"""

import asyncio
import gc
import importlib
import os
import signal
import socket
import ssl
import sys
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Sequence
from contextlib import AsyncExitStack, ExitStack, asynccontextmanager, contextmanager, suppress
from typing import TYPE_CHECKING, Any, Final

import structlog
import uvicorn

from app.cli.pacing import PacedProtocol, answer
from app.cli.shell import embedded_server
from app.formats.individual_number import masked_json
from app.kit.errors import AppError, Kind
from app.kit.logs import set_up_logging

if TYPE_CHECKING:
    from app.kit.edge import Peer
    from app.kit.embedded import EmbeddedServer
    from app.kit.settings import Settings

log = structlog.get_logger()
Prepare = Callable[["Settings", str], Awaitable[None]]
# With what is its own, zone and address, and how it speaks TLS where it does.
Listener = tuple["Settings", socket.socket, ssl.SSLContext | None]
_GRACE_S: Final = 10
_BACKLOG: Final = 2048
_NO_HTTP: Final = answer(
    400, "Bad Request", "not_http",
    "HTTPとして読めません。アドレスの日本語や空白はパーセントエンコードしてください"
    "（curl なら -G --data-urlencode 'q=避難'）。",
    "This is no HTTP. Percent-encode Japanese and blanks in the address"
    " (with curl: -G --data-urlencode 'q=避難').",
)  # fmt: skip


class EmbeddedDatabaseEnded(AppError):
    """The server that we brought along was ended by somebody else, or by the kernel."""

    kind = Kind.UNAVAILABLE
    code = "embedded_database_ended"
    ja = "付属のデータベースが外から止められたため、終了します。もう一度起動してください（{log}）。"
    en = "The embedded database was ended from outside, so we end too. Start urbanos again ({log})."


class PortTaken(AppError):
    """Something else listens there."""

    kind = Kind.CONFLICT
    code = "port_taken"
    ja = (
        "{host}:{port} は使えません（{why}）。--port か URBANOS_PORT で別の番号を指定してください。"
    )
    en = "{host}:{port} cannot be used ({why}). Name another with --port or URBANOS_PORT."


@contextmanager
def listening(host: str, port: int) -> Iterator[socket.socket]:
    """The port, taken before anything slow begins."""
    try:
        kind, _, _, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
        taken = socket.socket(kind, socket.SOCK_STREAM)
    except OSError as exc:
        raise PortTaken(host=host, port=port, why=exc.strerror) from exc
    with taken:
        taken.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            taken.bind(address)
            taken.listen(_BACKLOG)  # or two could hold it until one of them serves
        except OSError as exc:
            raise PortTaken(host=host, port=port, why=exc.strerror) from exc
        taken.set_inheritable(False)
        yield taken


class _Protocol(PacedProtocol):
    """Tells the application who is at the other end, once a connection; headers have no part in it.

    Says in words why a request could not be read: nearly always Japanese in a bare address.
    """

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        self._peer = _peer_of(transport, self.client[0] if self.client else None)

    def on_message_begin(self) -> None:
        super().on_message_begin()
        self.scope["peer"] = self._peer  # type: ignore[typeddict-unknown-key]

    def send_400_response(self, msg: str) -> None:
        """What is no HTTP is answered before the application sees it."""
        self.transport.write(_NO_HTTP)
        self.transport.close()


def _peer_of(transport: asyncio.Transport, address: str | None) -> "Peer":
    # By now the application was imported, and with it all that these need.
    from app.kit.certificates import certificate_from  # noqa: PLC0415
    from app.kit.edge import Peer  # noqa: PLC0415

    tls = transport.get_extra_info("ssl_object")
    der: bytes | None = tls.getpeercert(binary_form=True) if tls is not None else None
    return Peer(address, certificate_from(der) if der else None)


class _Server(uvicorn.Server):
    """Leaves signals to us, and says when it is ready."""

    def __init__(self, config: uvicorn.Config, ready: Callable[[], None]) -> None:
        super().__init__(config)
        self._ready = ready

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        if self.started and not self.should_exit:
            _spare_the_collector()
            self._ready()


def _spare_the_collector() -> None:
    """What was made at the start stays for ever: looking through it again costs a read 8 %."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(5_000, 20, 50)


class _Stopping:
    """Turns Ctrl-C and SIGTERM into an orderly end, whatever is going on."""

    def __init__(self, task: "asyncio.Task[Any]") -> None:
        self._task = task
        self.servers: list[_Server] = []
        self.lost: EmbeddedDatabaseEnded | None = None
        loop = asyncio.get_running_loop()
        for name in (signal.SIGINT, signal.SIGTERM):
            loop.add_signal_handler(name, self._stop)

    async def watch(self, database: "EmbeddedServer") -> None:
        """End at once when the embedded server is gone: nothing more can be answered."""
        await database.ended()
        self.lost = EmbeddedDatabaseEnded(log=database.log)
        if not self.servers:
            self._task.cancel()
            return
        for server in self.servers:
            server.should_exit = server.force_exit = True
        await asyncio.sleep(_GRACE_S)
        self._task.cancel()  # something waits for the database still

    def _stop(self) -> None:
        if not self.servers:
            self._task.cancel()
        for server in self.servers:
            # Asked twice: do not wait for open requests.
            server.force_exit = server.should_exit
            server.should_exit = True


def serve_until_stopped(
    settings: "Settings",
    *,
    worker: bool,
    prepare: Prepare,
    furnish: Prepare | None = None,
    ready: Callable[[], None],
) -> None:
    """Serve. `prepare` runs before the worker starts, `furnish` beside it, `ready` at the end."""
    import uvloop  # noqa: PLC0415

    with (
        ExitStack() as taken,
        asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner,
        suppress(asyncio.CancelledError),  # stopped before it began to serve
    ):
        listeners = [
            (each, taken.enter_context(listening(each.host, each.port)), _tls_of(each))
            for each in settings.every_listener
        ]
        runner.run(_serve(settings, listeners, worker, prepare, furnish, ready))


async def _serve(
    settings: "Settings",
    listeners: Sequence[Listener],
    worker: bool,
    prepare: Prepare,
    furnish: Prepare | None,
    ready: Callable[[], None],
) -> None:
    current = asyncio.current_task()
    assert current is not None  # noqa: S101 - we run in one
    stopping = _Stopping(current)
    # By name, as uvicorn does: `main` and `cli` stand on one floor and do not know each other.
    # In a thread, so that PostgreSQL starts meanwhile.
    importing = asyncio.create_task(asyncio.to_thread(importlib.import_module, "app.main"))
    async with embedded_server(settings) as server:
        url = server.url if server is not None else str(settings.database_url)
        await prepare(settings, url)
        async with (
            _told_of_loss(stopping, server),
            supervised_worker(settings, url) if worker else _nothing(),
        ):
            if furnish is not None:
                await furnish(settings, url)
            main = await importing
            set_up_logging(settings.log_level, masked_json)
            async with AsyncExitStack() as started:
                servers: list[_Server] = []

                def each_ready() -> None:
                    if all(server.started for server in servers):
                        ready()

                apps = {each.zone: main.create_app(each, url) for each in settings.every_zone}
                for app in apps.values():
                    # Started here and not by uvicorn, which would tell a refusal as a traceback.
                    await started.enter_async_context(app.router.lifespan_context(app))
                for each, _, tls in listeners:
                    entrance = main.create_entrance(each, apps)
                    servers.append(_Server(_config(entrance, each, tls), each_ready))
                stopping.servers = servers
                ports = [port for _, port, _ in listeners]
                await _serve_all(servers, ports)


async def _serve_all(servers: Sequence["_Server"], ports: Sequence[socket.socket]) -> None:
    """Serve at every port until told to stop; what ends one listener ends all."""

    async def serve(server: _Server, port: socket.socket) -> None:
        try:
            await server.serve(sockets=[port])
        finally:
            for other in servers:
                other.should_exit = True

    async with asyncio.TaskGroup() as serving:
        for each, port in zip(servers, ports, strict=True):
            serving.create_task(serve(each, port))


@asynccontextmanager
async def _told_of_loss(
    stopping: _Stopping, server: "EmbeddedServer | None"
) -> AsyncIterator[None]:
    """Watch the embedded server; however the loss shows inside, it is told as what it is."""
    if server is None:
        yield
        return
    watching = asyncio.create_task(stopping.watch(server), name="database")
    try:
        yield
    except (Exception, asyncio.CancelledError) as exc:  # the process's outermost
        if stopping.lost is not None:
            raise stopping.lost from exc
        raise
    finally:
        watching.cancel()
    if stopping.lost is not None:
        raise stopping.lost


def _tls_of(settings: "Settings") -> ssl.SSLContext | None:
    """How the listener speaks TLS: read before anything slow begins."""
    if settings.tls_certificate is None:
        return None
    from app.kit.tls import server_context  # noqa: PLC0415

    return server_context(settings.tls_certificate, settings.tls_key, settings.tls_client_ca)


def _config(app: Any, settings: "Settings", tls: ssl.SSLContext | None = None) -> uvicorn.Config:
    return uvicorn.Config(
        app,
        http=_Protocol,
        ssl_context_factory=(lambda _config, _default: tls) if tls is not None else None,
        ws="none",
        lifespan="off",
        log_config=None,
        access_log=False,  # ours is in the envelope, without queries
        server_header=False,
        # uvicorn believes whoever asks from this machine unless it is told otherwise.
        proxy_headers=settings.trusted_proxies is not None,
        forwarded_allow_ips=settings.trusted_proxies or "",
        timeout_graceful_shutdown=_GRACE_S,
        backlog=_BACKLOG,
    )


@asynccontextmanager
async def _nothing() -> AsyncIterator[None]:
    yield


@asynccontextmanager
async def supervised_worker(settings: "Settings", url: str) -> AsyncIterator[None]:
    """A worker beside us, started anew when it ends by itself."""
    task = asyncio.create_task(_supervise(settings, url), name="worker")
    try:
        yield
    finally:
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task


async def _supervise(settings: "Settings", url: str) -> None:
    pause = 1.0
    # A password is no word for a command line.
    environment = {
        **os.environ,
        "URBANOS_DATABASE_URL": url,
        "URBANOS_HOME": str(settings.home.absolute()),
        "URBANOS_LOG_LEVEL": settings.log_level,
    }
    while True:
        child = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "app.cli", "work", "--until-eof",
            stdin=asyncio.subprocess.PIPE,
            env=environment,
            start_new_session=True,  # Ctrl-C is for us; we tell it
        )  # fmt: skip
        try:
            code = await child.wait()
        except asyncio.CancelledError:
            await _end(child)
            raise
        log.warning("worker.ended", code=code, again_in_s=pause)
        await asyncio.sleep(pause)
        pause = min(30.0, pause * 2)


async def _end(child: asyncio.subprocess.Process) -> None:
    """Let it finish its job, for a while: what is cut off begins again at the next start."""
    with suppress(ProcessLookupError):
        child.terminate()
    try:
        async with asyncio.timeout(_GRACE_S):
            await child.wait()
    except TimeoutError:
        with suppress(ProcessLookupError):
            child.kill()
        await child.wait()
