"""Folders: those of runs, each locked by its process, so that a dead one's is known; and names that last.

It must never remove a folder that a living process holds, on whichever process id or container.
"""

import fcntl
import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Final

_PREFIX: Final = "urbanos-run-"


@contextmanager
def held_folder() -> Iterator[Path]:
    """A folder of our own, gone at the end; after a kill, `sweep` of another process removes it."""
    folder, lock = _made()
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)
        os.close(lock)


def keep_names(folder: Path) -> None:
    """What was made or renamed in a folder has its name after a loss of power too."""
    handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def _made() -> tuple[Path, int]:
    while True:
        folder = Path(tempfile.mkdtemp(prefix=_PREFIX))
        lock = os.open(folder, os.O_RDONLY)
        fcntl.flock(lock, fcntl.LOCK_EX)
        if folder.exists():
            return folder, lock
        os.close(lock)  # somebody swept between the making and the lock


def sweep() -> int:
    """Remove the folders whose processes are dead. Gives how many there were."""
    return sum(
        _remove_if_free(folder) for folder in Path(tempfile.gettempdir()).glob(_PREFIX + "*")
    )


def _remove_if_free(folder: Path) -> bool:
    with suppress(OSError):  # held, just removed by another sweep, or not ours
        lock = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            shutil.rmtree(folder)
        finally:
            os.close(lock)
        return True
    return False
