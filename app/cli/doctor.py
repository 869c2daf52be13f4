"""`urbanos doctor`: looks at everything a deployment needs and says in words what to do."""

import asyncio
import shutil
import sys
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final

import typer

from app.cli.shell import address_of, read_settings
from app.cli.words import Json, said, show_json
from app.kit.errors import AppError

if TYPE_CHECKING:
    from app.kit.db import Database
    from app.kit.settings import Settings

CHECK_FAILED: Final = 4
_LEAST_DISK: Final = 2 * 1024**3
_WAITING_TOO_LONG_S: Final = 60
_CERTIFICATE_LEAST_DAYS: Final = 30
_SIGNING_KEYS: Final = "signing keys"


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that was looked at, in the reader's language."""

    check: str
    ok: bool
    says: str


def doctor(as_json: Json = False) -> None:
    """Check this installation; exit 4 if something is wrong. 環境を診断する。"""
    settings = read_settings()
    looked = asyncio.run(_database(settings))
    opened = all(each.ok for each in looked if each.check == _SIGNING_KEYS)
    found = [
        _python(),
        *_disk(settings),
        *_secret_key(settings, opened),
        *_tls(settings),
        asyncio.run(_store(settings)),
        *looked,
        _readings(),
    ]
    if as_json:
        show_json([asdict(each) for each in found])
    else:
        for each in found:
            mark = said("正常", "ok  ") if each.ok else said("要対応", "FAIL")
            typer.echo(f"{mark}  {each.check}: {each.says}")
    if not all(each.ok for each in found):
        raise typer.Exit(CHECK_FAILED)


def _python() -> Finding:
    has = ".".join(map(str, sys.version_info[:3]))
    return Finding(
        "python",
        sys.version_info >= (3, 11),
        said(f"{has}（3.11以上が必要）", f"{has} (3.11 or newer is needed)"),
    )


def _readings() -> Finding:
    """Without a dictionary searches go by spelling: less is found, and nothing is wrong."""
    from app.tasks.readings import dictionary  # noqa: PLC0415

    edition = dictionary()
    if edition is not None:
        return Finding("readings", True, edition)
    return Finding("readings", True, said(
        "読みの辞書がないため、検索は漢字の読み（ひなん→避難）を使いません。"
        "pip install 'urbanos[search]' で入ります（ワーカだけが使います）。",
        "No dictionary, so searches know no readings (ひなん for 避難). It comes with"
        " pip install 'urbanos[search]', for the worker only.",
    ))  # fmt: skip


def _disk(settings: "Settings") -> Iterator[Finding]:
    """Uploads pass through the temporary folder; the embedded database lives under home."""
    import tempfile  # noqa: PLC0415

    folders = {"home": settings.home, "temporary": Path(tempfile.gettempdir())}
    if settings.store is not None and "://" not in settings.store:
        folders["file store"] = Path(settings.store)
    for name, folder in folders.items():
        there = next(p for p in (folder.absolute(), *folder.absolute().parents) if p.exists())
        free = shutil.disk_usage(there).free
        yield Finding(
            f"disk ({name})",
            free >= _LEAST_DISK,
            said(
                f"{there} の空きは {free / 1024**3:.1f} GB（2 GB以上必要）",
                f"{free / 1024**3:.1f} GB free at {there} (2 GB are needed)",
            ),
        )


def _secret_key(settings: "Settings", opened: bool) -> Iterator[Finding]:
    """The key by itself; whether it opens what the database holds is `_sealed`'s to say."""
    path, is_file = settings.secret_key_path, settings.secret_key_command is None
    if is_file and not path.exists():
        if not opened:
            return
        yield Finding("secret key", True, said(
            f"{path} はまだありません。初回起動時に作られます。",
            f"{path} does not exist yet; the first start makes it.",
        ))  # fmt: skip
        return
    from app.kit.crypto import load_sealer  # noqa: PLC0415
    from app.kit.key_places import SecretKeyUnusable  # noqa: PLC0415

    try:
        load_sealer(settings.secret_key)
    except SecretKeyUnusable as wrong:
        yield Finding("secret key", False, said(wrong.words("ja"), wrong.words("en")))
        return
    if is_file and path.stat().st_mode & 0o077:
        yield Finding("secret key", False, said(
            f"{path} を他の利用者が読めます。chmod 600 {path} を実行してください。",
            f"Others can read {path}. Run: chmod 600 {path}",
        ))  # fmt: skip
        return
    place = settings.secret_key
    yield Finding("secret key", True, said(
        f"{place}（バックアップに含めてください）", f"{place} (keep it in the backup)"
    ))  # fmt: skip


def _tls(settings: "Settings") -> Iterator[Finding]:
    """Whether the listeners can speak TLS, and for how long."""
    if settings.tls_certificate is None:
        return
    from app.kit import clock  # noqa: PLC0415
    from app.kit.tls import TlsUnusable, expires_at, server_context  # noqa: PLC0415

    try:
        server_context(settings.tls_certificate, settings.tls_key, settings.tls_client_ca)
    except TlsUnusable as wrong:
        yield Finding("tls certificate", False, said(wrong.words("ja"), wrong.words("en")))
        return
    ends = expires_at(settings.tls_certificate)
    days = (ends - clock.now()).days
    yield Finding("tls certificate", days >= _CERTIFICATE_LEAST_DAYS, said(
        f"{settings.tls_certificate} は {ends:%Y-%m-%d} まで有効（残り{days}日、30日前までに更新）",
        f"{settings.tls_certificate} ends on {ends:%Y-%m-%d}, in {days} days (renew 30 before)",
    ))  # fmt: skip


async def _store(settings: "Settings") -> Finding:
    """Whether files can be put where they are kept."""
    import tempfile  # noqa: PLC0415

    from app.kit.store import StoreUnusable, check, open_store  # noqa: PLC0415

    store = open_store(settings.store, settings.home, settings.store_access)
    try:
        with tempfile.TemporaryDirectory() as folder:
            await check(store, Path(folder))
    except StoreUnusable as wrong:
        return Finding("file store", False, said(wrong.words("ja"), wrong.words("en")))
    return Finding("file store", True, said(
        f"{store.place} に書き込めます", f"{store.place} can be written"
    ))  # fmt: skip


async def _database(settings: "Settings") -> list[Finding]:
    from app.kit import migrations  # noqa: PLC0415
    from app.kit.db import Database  # noqa: PLC0415

    try:
        async with address_of(settings) as url:
            at = await migrations.current(url)
            database = await Database.open(url, connections=2)
            try:
                found = [await _version(database), _migrations(at)]
                if at == migrations.newest():
                    found += [
                        await _queue(database), await _files(database),
                        await _sealed(settings, database),
                    ]  # fmt: skip
            finally:
                await database.close()
            return found
    except AppError as refusal:
        cause = refusal.__cause__
        why = f" ({type(cause).__name__}: {cause})" if cause else ""
        says = said(refusal.words("ja"), refusal.words("en")) + why
        if settings.database_url is None and refusal.code == "database_unavailable":
            says += said(
                " 付属のデータベースが止まっています。動いている urbanos を再起動してください。",
                " The embedded database has ended: restart urbanos (the running serve or demo).",
            )
        return [Finding("database", False, says)]


async def _version(database: "Database") -> Finding:
    version = await database.server_version()
    return Finding("database", version >= 16, said(
        f"PostgreSQL {version}（16以上が必要）", f"PostgreSQL {version} (16 or newer is needed)"
    ))  # fmt: skip


def _migrations(at: str | None) -> Finding:
    from app.kit import migrations  # noqa: PLC0415

    wanted = migrations.newest()
    if at == wanted:
        return Finding("migrations", True, said(f"最新（{at}）", f"up to date ({at})"))
    return Finding("migrations", False, said(
        f"{at or '未作成'}。urbanos migrate で {wanted} にしてください。",
        f"at {at or 'nothing'}. Bring it to {wanted}: urbanos migrate",
    ))  # fmt: skip


async def _queue(database: "Database") -> Finding:
    from app.jobs import queue  # noqa: PLC0415

    waiting, oldest_s = await queue.backlog(database.pool)
    stuck = oldest_s > _WAITING_TOO_LONG_S
    return Finding("worker queue", not stuck, said(
        f"待ち {waiting} 件、最長 {oldest_s:.0f} 秒" + (
            "。ワーカ（urbanos work）が動いているか確認してください。" if stuck else ""),
        f"{waiting} jobs wait, the oldest for {oldest_s:.0f} s" + (
            ". Is a worker running? Start: urbanos work" if stuck else ""),
    ))  # fmt: skip


async def _files(database: "Database") -> Finding:
    """Files that could not be made, or should have been by now."""
    from app.catalogue import files  # noqa: PLC0415

    async with database.reading() as session:
        standing = await files.standing(session)
    wrong = bool(standing.overdue or standing.failed)
    return Finding("ready-made files", not wrong, said(
        f"作成待ちのデータセット {standing.waiting} 件（うち30分以上 {standing.overdue} 件）、"
        f"作成に失敗したファイル {standing.failed} 件" + (
            "。ワーカのログの files.interrupted・files.put_off・file.failed に理由があります。"
            if wrong else ""),
        f"{standing.waiting} datasets wait for files ({standing.overdue} of them for 30 minutes or"
        f" more), {standing.failed} files could not be made" + (
            ". The worker's log tells why: files.interrupted, files.put_off, file.failed."
            if wrong else ""),
    ))  # fmt: skip


async def _sealed(settings: "Settings", database: "Database") -> Finding:
    """Whether the key file is the one that sealed what the database holds."""
    from app.kit.key_places import SecretKeyUnusable  # noqa: PLC0415
    from app.oauth.keys import check_sealed  # noqa: PLC0415

    try:
        await check_sealed(database.pool, settings.secret_key)
    except SecretKeyUnusable as wrong:
        return Finding(_SIGNING_KEYS, False, said(wrong.words("ja"), wrong.words("en")))
    return Finding(_SIGNING_KEYS, True, said("開けます", "can be opened"))
