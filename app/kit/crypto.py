"""Sealing of secrets at rest. Never logs, never returns a key."""

import os
import secrets
from pathlib import Path

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from app.kit.errors import AppError, Kind

_KEY_BYTES = 32
_NONCE_BYTES = 12  # NIST SP 800-38D, 5.2.1.1: 96 bits


class SecretKeyUnusable(AppError):
    """The key file is missing, of the wrong length, or not the one that sealed the secret."""

    kind = Kind.UNAVAILABLE
    code = "secret_key_unusable"
    ja = (
        "秘密鍵ファイル {path} が使えません（{why_ja}）。封印時と同じ32バイトの鍵を置いてください。"
    )
    en = "The secret key file {path} cannot be used ({why}). Put back the 32-byte key that sealed."


class Sealer:
    """Seals and opens small secrets with AES-256-GCM; `about` binds a secret to its place."""

    def __init__(self, key: bytes, path: Path) -> None:
        self._aead = AESGCM(key)
        self._path = path

    def seal(self, secret: bytes, *, about: str) -> bytes:
        """Encrypt `secret`; the nonce stands before the ciphertext."""
        nonce = secrets.token_bytes(_NONCE_BYTES)
        return nonce + self._aead.encrypt(nonce, secret, about.encode())

    def unseal(self, sealed: bytes, *, about: str) -> bytes:
        """Decrypt what `seal` made for the same `about`, or raise `SecretKeyUnusable`."""
        try:
            return self._aead.decrypt(sealed[:_NONCE_BYTES], sealed[_NONCE_BYTES:], about.encode())
        except InvalidTag as exc:
            raise SecretKeyUnusable(
                path=self._path,
                why=f"it did not seal {about}",
                why_ja=f"{about} を封印した鍵と違う",
            ) from exc


def make_key_file(path: Path) -> None:
    """Make a key (mode 0600), unless the file is there.

    Only for a database that holds nothing sealed yet: a new key opens nothing.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(handle, "wb") as file:
            file.write(secrets.token_bytes(_KEY_BYTES))
    except FileExistsError:
        return
    except OSError as exc:
        raise SecretKeyUnusable(path=path, why=exc.strerror, why_ja=exc.strerror) from exc


def load_sealer(path: Path) -> Sealer:
    """The sealer whose key stands in `path`. Raises `SecretKeyUnusable`; never makes a key."""
    try:
        key = path.read_bytes()
    except OSError as exc:
        why = str(exc.strerror)
        missing = isinstance(exc, FileNotFoundError)
        raise SecretKeyUnusable(
            path=path, why=why, why_ja="ファイルがない" if missing else why
        ) from exc
    if len(key) != _KEY_BYTES:
        raise SecretKeyUnusable(
            path=path,
            why=f"{len(key)} bytes instead of {_KEY_BYTES}",
            why_ja=f"{_KEY_BYTES}バイトのはずが{len(key)}バイト",
        )
    return Sealer(key, path)
