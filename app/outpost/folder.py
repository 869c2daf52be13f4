"""The folder of an agent: its platform's keys, its keeper's yes, and what was used once.

Its own key's private half stands here as well, and never leaves.
"""

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

import orjson

from app.kit import clock
from app.kit.errors import AppError, Kind
from app.kit.folders import keep_names
from app.outpost.envelopes import Pinned
from app.outpost.signed import WordRefused

_NOTHING: Final = b"""{
  "sources": {},
  "outbound_allow": "",
  "folders": []
}
"""
_MICROSECONDS: Final = 1_000_000


class AgentFolderUnusable(AppError):
    """The folder is no agent's, or cannot be read or written."""

    kind = Kind.INVALID
    code = "agent_folder_unusable"
    ja = "エージェントのフォルダ {path} が使えません（{why}）。urbanos agent enrol で登録してください。"
    en = "The agent's folder {path} cannot be used ({why}). Enrol it with urbanos agent enrol."


class Folder:
    """What an agent keeps on its disk. Each file is whole or as it was before."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.key = path / "agent.key"
        self.sources = path / "sources.json"
        self._yes = path / "sources.jws"
        self._platform = path / "platform.json"
        self._authority = path / "ca.pem"
        self._used = path / "used"
        self._last_bundle = path / "bundle"

    @contextmanager
    def alone(self) -> Iterator[None]:
        """One process a folder: two would each take an envelope for new."""
        with (self.path / "lock").open("w") as lock:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                raise AgentFolderUnusable(path=self.path, why="in use by another process") from None
            yield

    def keep_platform(self, url: str, pinned: Pinned) -> None:
        """Where the platform is, and the keys that it signs with."""
        _write(self._platform, orjson.dumps({"url": url, "pinned": pinned.to_json()}))

    def platform(self) -> tuple[str, Pinned]:
        """As kept. Raises `AgentFolderUnusable`."""
        told = _json(self._platform)
        try:
            return str(told["url"]), Pinned.from_json(told["pinned"])
        except (KeyError, TypeError, WordRefused):
            raise AgentFolderUnusable(path=self._platform, why="damaged") from None

    def keep_yes(self, word: str) -> None:
        """The signature of `sources`."""
        _write(self._yes, word.encode())

    def keep_authority(self, pem: bytes) -> None:
        """Whose certificates the platform shows, where it is none that the system knows."""
        _write(self._authority, pem)

    def authority(self) -> Path | None:
        """The file of it, if there is one."""
        return self._authority if self._authority.exists() else None

    def begin_sources(self) -> None:
        """Nothing is served until the keeper has written what."""
        if not self.sources.exists():
            _write(self.sources, _NOTHING)

    def told(self) -> bytes:
        """What `sources` says, byte by byte. Raises `AgentFolderUnusable`."""
        return _read(self.sources)

    def yes(self) -> str:
        """The signature of `sources`; empty where nobody has given one."""
        return _read(self._yes).decode("utf-8", "replace") if self._yes.exists() else ""

    def use(self, jti: str, expires_at: float) -> bool:
        """Whether this is the first use of an envelope; a restart remembers the others."""
        used = self._still_used()
        if jti in used:
            return False
        _write(self._used, orjson.dumps({**used, jti: expires_at}))
        return True

    def _still_used(self) -> dict[str, float]:
        if not self._used.exists():
            return {}
        now = clock.now().timestamp()
        return {name: float(ends) for name, ends in _json(self._used).items() if ends > now}

    def next_bundle(self) -> int:
        """A number above those of all bundles before."""
        before = int(_json(self._last_bundle)["last"]) if self._last_bundle.exists() else 0
        number = max(before + 1, int(clock.now().timestamp() * _MICROSECONDS))
        _write(self._last_bundle, orjson.dumps({"last": number}))
        return number


def _json(path: Path) -> dict[str, Any]:
    try:
        told = orjson.loads(_read(path))
    except ValueError:
        told = None
    if not isinstance(told, dict):
        raise AgentFolderUnusable(path=path, why="damaged")
    return told


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as exc:
        raise AgentFolderUnusable(path=path, why=exc.strerror) from exc


def _write(path: Path, told: bytes) -> None:
    """All of it or nothing, for its owner alone, on the disk before this returns."""
    beside = path.with_name(f"{path.name}.new")
    try:
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        beside.unlink(missing_ok=True)
        with os.fdopen(os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
            file.write(told)
            file.flush()
            os.fsync(file.fileno())
        beside.replace(path)
        keep_names(path.parent)
    except OSError as exc:
        raise AgentFolderUnusable(path=path, why=exc.strerror) from exc
