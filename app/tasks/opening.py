"""A sealed archive opened by its recipient's key, into a folder that is gone at the end."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from app.kit.folders import held_folder
from app.moving.opened import refused

_SEALED: Final = b"age-encryption.org/v1\n"
_LONGEST_KEY: Final = 64 << 10


@contextmanager
def in_the_clear(archive: Path, identity: Path | None) -> Iterator[Path]:
    """The archive as a zip. Raises `ArchiveRefused` where no key, or not its own, is given."""
    with archive.open("rb") as file:
        is_sealed = file.read(len(_SEALED)) == _SEALED
    if not is_sealed:
        yield archive
        return
    if identity is None:
        raise refused(
            archive.name, "it is sealed: give the key with --identity",
            "暗号化されています。鍵を --identity で指定してください",
        )  # fmt: skip
    with held_folder() as folder:
        plain = folder / "archive.zip"
        _unseal(archive, plain, identity)
        yield plain


def _unseal(archive: Path, plain: Path, identity: Path) -> None:
    import pyrage  # noqa: PLC0415

    with identity.open("rb") as file:
        lines = file.read(_LONGEST_KEY).decode("ascii", "replace").splitlines()
    try:
        keys = [
            pyrage.x25519.Identity.from_str(line.strip())
            for line in lines
            if line.strip() and not line.startswith("#")
        ]
        pyrage.decrypt_file(str(archive), str(plain), keys)
    except (pyrage.IdentityError, pyrage.DecryptError, OSError) as exc:
        raise refused(
            archive.name,
            "the key does not open it, or it was changed",
            "この鍵では開けないか、改変されています",
        ) from exc
