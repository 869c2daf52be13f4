"""`urbanos serve`, `work`, `migrate`: the processes of a deployment."""

import asyncio
import os
import signal
import threading
import time
from functools import partial
from typing import TYPE_CHECKING, Annotated, Final

import typer

from app.cli.shell import address_of, read_settings
from app.cli.words import Json, note, show_one

if TYPE_CHECKING:
    from datetime import datetime

    from app.kit.settings import Settings

_LAST_SECONDS: Final = 5.0
Host = Annotated[str | None, typer.Option(help="127.0.0.1 if absent")]
Port = Annotated[int | None, typer.Option(min=1, max=65535, help="8000 if absent")]


def serve(
    host: Host = None,
    port: Port = None,
    no_worker: Annotated[
        bool, typer.Option("--no-worker", help="Run `urbanos work` by itself instead")
    ] = False,
) -> None:
    """Serve, with a worker beside it. サーバとワーカを起動する。"""
    from app.cli.serving import serve_until_stopped  # noqa: PLC0415

    settings = read_settings(host=host, port=port)

    async def prepare(_settings: "Settings", url: str) -> None:
        from app.kit.migrations import require_newest  # noqa: PLC0415

        await require_newest(url)

    def ready() -> None:
        note(f"起動しました: {settings.issuer}", f"Serving at {settings.issuer}")
        for each in settings.every_listener if settings.listeners else ():
            at = f"{each.host}:{each.port}"
            note(f"ゾーン {each.zone} の入口: {at}", f"Listener of the zone {each.zone}: {at}")

    serve_until_stopped(settings, worker=not no_worker, prepare=prepare, ready=ready)


def work(
    until_eof: Annotated[
        bool, typer.Option("--until-eof", hidden=True, help="End when standard input ends")
    ] = False,
    no_files: Annotated[
        bool, typer.Option("--no-files", help="Leave the making of files to other workers")
    ] = False,
) -> None:
    """Take jobs from the queue until stopped. ワーカを起動する。"""
    if until_eof:
        threading.Thread(target=_end_with_parent, daemon=True).start()
    asyncio.run(_work(makes_files=not no_files))


async def _work(*, makes_files: bool) -> None:
    from app.audit.log import Log  # noqa: PLC0415
    from app.cli.official import OfficialJudge  # noqa: PLC0415
    from app.connectors.kinds import Kinds  # noqa: PLC0415
    from app.findings.sending import Messenger  # noqa: PLC0415
    from app.formats.individual_number import masked_json  # noqa: PLC0415
    from app.kit.crypto import load_sealer  # noqa: PLC0415
    from app.kit.db import Database, plain_dsn  # noqa: PLC0415
    from app.kit.logs import set_up_logging  # noqa: PLC0415
    from app.kit.mail import Mailer  # noqa: PLC0415
    from app.kit.migrations import require_newest  # noqa: PLC0415
    from app.kit.outbound import Allowed, Outbound  # noqa: PLC0415
    from app.kit.store import open_store  # noqa: PLC0415
    from app.tasks.examine import Examiner  # noqa: PLC0415
    from app.tasks.harvest import Harvester  # noqa: PLC0415
    from app.tasks.notify import Notifier  # noqa: PLC0415
    from app.tasks.owner_export import Mover  # noqa: PLC0415
    from app.tasks.stream import Streamer  # noqa: PLC0415
    from app.tasks.worker import Crew, work_for_ever  # noqa: PLC0415

    settings = read_settings()
    set_up_logging(settings.log_level, masked_json)
    async with address_of(settings) as url:
        await require_newest(url)
        database = await Database.open(url, connections=settings.database_connections)
        outbound = Outbound(Allowed.parse(settings.outbound_allow))
        entries = Log(plain_dsn(url))
        await entries.start()
        try:
            store = open_store(settings.store, settings.home, settings.store_access)
            # Read when it is needed: a first start is making it now.
            sealer = partial(load_sealer, settings.secret_key)
            mailer = Mailer(settings.relay) if settings.relay else None
            lent, most = settings.lent_folders, settings.max_upload_bytes
            harvester = Harvester(database, sealer, Kinds(), outbound, lent, most)
            crew = Crew(
                store=store if makes_files else None,
                messenger=Messenger(outbound, sealer, mailer),
                harvester=harvester,
                streamer=Streamer(harvester, settings.issuer),
                examiner=Examiner(database, outbound, OfficialJudge(outbound, sealer)),
                mover=Mover(database, sealer, settings.issuer),
                notifier=Notifier(database, outbound, sealer, entries),
                certificate_until=_certificate_until(settings),
            )
            await work_for_ever(database, crew)
        finally:
            await entries.stop()
            await outbound.close()
            await database.close()


def _certificate_until(settings: "Settings") -> "datetime | None":
    if settings.tls_certificate is None:
        return None
    from app.kit.tls import expires_at  # noqa: PLC0415

    try:
        return expires_at(settings.tls_certificate)
    except (OSError, ValueError):  # a worker may be without the listener's file
        return None


def _end_with_parent() -> None:
    """The parent holds the other end of our standard input; when it is gone, so are we.

    A job that is cut off is nothing lost: its transaction is undone and another worker begins
    again.
    """
    while os.read(0, 1024):
        pass
    os.kill(os.getpid(), signal.SIGTERM)
    time.sleep(_LAST_SECONDS)
    os._exit(1)


def migrate(as_json: Json = False) -> None:
    """Bring the database up to date. データベースを最新の版にする。"""

    async def act() -> tuple[str | None, str]:
        from app.cli.profile import add_built_in  # noqa: PLC0415
        from app.kit import migrations  # noqa: PLC0415

        async with address_of(read_settings()) as url:
            before = await migrations.current(url)
            await asyncio.to_thread(migrations.upgrade, url)
            await add_built_in(url)
            return before, migrations.newest()

    before, after = asyncio.run(act())
    show_one({"before": before or "-", "after": after}, as_json)
