"""Private keys of clients as JWK files of mode 0600. Never overwrites one, never prints one."""

import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

from app.kit.errors import AppError, Kind

if TYPE_CHECKING:
    from joserfc.jwk import ECKey


class KeyFileUnusable(AppError):
    """The file is missing, in the way, or holds no private key."""

    kind = Kind.INVALID
    code = "key_file_unusable"
    ja = "鍵ファイル {path} が使えません: {why}"
    en = "The key file {path} cannot be used: {why}"


def new_key(path: Path) -> "ECKey":
    """Make a key and keep it in a new file that only its owner can read."""
    import orjson  # noqa: PLC0415
    from joserfc.jwk import ECKey  # noqa: PLC0415

    key = ECKey.generate_key("P-256")
    text = orjson.dumps({**key.as_dict(private=True), "kid": key.thumbprint()})
    try:
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(handle, "wb") as file:
            file.write(text + b"\n")
            file.flush()
            os.fsync(file.fileno())  # the registry will know its public half for good
    except OSError as exc:
        raise KeyFileUnusable(path=path, why=exc.strerror) from exc
    return key


def read_key(path: Path) -> "ECKey":
    """The private key of a file. Raises `KeyFileUnusable`."""
    import orjson  # noqa: PLC0415
    from joserfc.errors import JoseError  # noqa: PLC0415
    from joserfc.jwk import ECKey  # noqa: PLC0415

    try:
        key = ECKey.import_key(orjson.loads(path.read_bytes()))
    except OSError as exc:
        raise KeyFileUnusable(path=path, why=exc.strerror) from exc
    except (JoseError, ValueError, TypeError) as exc:
        raise KeyFileUnusable(path=path, why="no EC private key as JWK") from exc
    if not key.is_private:
        raise KeyFileUnusable(path=path, why="it holds the public half only")
    return key


def kept_key(path: Path) -> "ECKey":
    """The key of a file, which is made where there is none that can be read."""
    try:
        key = read_key(path)
    except KeyFileUnusable:
        path.unlink(missing_ok=True)
        return new_key(path)
    path.chmod(0o600)
    return key


def public_jwks(key: "ECKey") -> dict[str, Any]:
    """The public half, as the registry takes it."""
    return {"keys": [key.as_dict(private=False)]}
