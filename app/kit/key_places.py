"""Where the secret key is had from: a file, or a command that asks a key store. Never shows a key."""

import base64
import binascii
import os
import secrets
import shlex
import subprocess
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Final, Protocol

from app.kit.errors import AppError, Kind

KEY_BYTES: Final = 32
_PATIENCE_S: Final = 30
_HEX_SIGNS: Final = 2 * KEY_BYTES


class SecretKeyUnusable(AppError):
    """The key cannot be had, is of the wrong length, or is not the one that sealed the secret."""

    kind = Kind.UNAVAILABLE
    code = "secret_key_unusable"
    ja = "秘密鍵（{path}）が使えません（{why_ja}）。封印時と同じ32バイトの鍵を置いてください。"
    en = "The secret key ({path}) cannot be used ({why}). Put back the 32-byte key that sealed."


class KeyPlace(Protocol):
    """Where a key is."""

    def read(self) -> bytes:
        """The 32 bytes. Blocks. Raises `SecretKeyUnusable`."""

    def make(self) -> None:
        """Make a key where none is, if this is a place that keys are made at."""

    def __str__(self) -> str:
        """As it is named to an operator."""


@dataclass(frozen=True, slots=True)
class KeyFile:
    """A file of 32 bytes, for its owner alone."""

    path: Path

    def __str__(self) -> str:
        return str(self.path)

    def read(self) -> bytes:
        """The file's bytes. Raises `SecretKeyUnusable`; never makes a key."""
        try:
            key = self.path.read_bytes()
        except OSError as exc:
            why = str(exc.strerror)
            is_missing = isinstance(exc, FileNotFoundError)
            why_ja = "ファイルがない" if is_missing else why
            raise SecretKeyUnusable(path=self, why=why, why_ja=why_ja) from exc
        return _checked(key, self)

    def make(self) -> None:
        """Make a key (mode 0600), unless the file is there.

        Only for a database that holds nothing sealed yet: a new key opens nothing.
        """
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
            handle = os.open(self.path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
            with os.fdopen(handle, "wb") as file:
                file.write(secrets.token_bytes(KEY_BYTES))
        except FileExistsError:
            return
        except OSError as exc:
            raise SecretKeyUnusable(path=self, why=exc.strerror, why_ja=exc.strerror) from exc


@dataclass(frozen=True, slots=True)
class KeyCommand:
    """A command that prints the key: 32 bytes, or these in hexadecimal or base64.

    It asks whatever key store the deployment has. No shell reads it; it is run once a process, for
    at most 30 s, and neither what it is called with nor what it prints is told or logged.
    """

    command: str = field(repr=False)

    def __str__(self) -> str:
        return shlex.split(self.command)[0]

    def read(self) -> bytes:
        """What it prints. Raises `SecretKeyUnusable`."""
        return _printed(self)

    def make(self) -> None:
        """Nothing: keys are made in the key store."""


@cache
def _printed(place: KeyCommand) -> bytes:
    try:
        done = subprocess.run(  # noqa: S603 - the operator's own setting
            shlex.split(place.command), capture_output=True, timeout=_PATIENCE_S, check=False,
            stdin=subprocess.DEVNULL,
        )  # fmt: skip
    except subprocess.TimeoutExpired:
        why, why_ja = f"no key within {_PATIENCE_S} s", f"{_PATIENCE_S}秒以内に鍵が得られない"
        raise SecretKeyUnusable(path=place, why=why, why_ja=why_ja) from None
    except OSError as exc:
        raise SecretKeyUnusable(path=place, why=exc.strerror, why_ja=exc.strerror) from exc
    if done.returncode:
        why, why_ja = f"it ended with {done.returncode}", f"終了コード{done.returncode}"
        raise SecretKeyUnusable(path=place, why=why, why_ja=why_ja)
    return _checked(_plain(done.stdout), place)


def _plain(printed: bytes) -> bytes:
    """The bytes that were meant: a key of 32 bytes may hold anything, also a line's end."""
    if len(printed) == KEY_BYTES:
        return printed
    text = printed.strip()
    try:
        if len(text) == _HEX_SIGNS:
            return binascii.unhexlify(text)
        return base64.b64decode(text, validate=True)
    except binascii.Error:
        return text


def _checked(key: bytes, place: KeyPlace) -> bytes:
    if len(key) != KEY_BYTES:
        raise SecretKeyUnusable(
            path=place,
            why=f"{len(key)} bytes instead of {KEY_BYTES}",
            why_ja=f"{KEY_BYTES}バイトのはずが{len(key)}バイト",
        )
    return key
