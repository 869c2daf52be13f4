"""Servers that are there in a moment: forked, as processes of their own, from one that has read the
code before. For whoever kills many."""

import multiprocessing
import os
import sys
from collections.abc import Mapping
from multiprocessing.context import ForkServerProcess
from pathlib import Path
from typing import Final

_MOTHER: Final = multiprocessing.get_context("forkserver")
_MOTHER.set_forkserver_preload(["app.cli.main", "app.cli.serving", "app.main"])


class Child:
    """A process of `urbanos`, with as much of `subprocess.Popen` as its owner needs."""

    def __init__(self, words: list[str], environment: Mapping[str, str], said: Path) -> None:
        self._process: ForkServerProcess = _MOTHER.Process(
            target=_run, args=(words, dict(environment), said), daemon=True
        )
        self._process.start()

    @property
    def pid(self) -> int | None:
        """Its number."""
        return self._process.pid

    def poll(self) -> int | None:
        """How it ended; None while it goes on."""
        return self._process.exitcode

    def kill(self) -> None:
        """SIGKILL."""
        self._process.kill()

    def terminate(self) -> None:
        """SIGTERM."""
        self._process.terminate()

    def wait(self, timeout: float | None = None) -> None:
        """Wait for its end."""
        self._process.join(timeout)


def _run(words: list[str], environment: dict[str, str], said: Path) -> None:
    os.environ.update(environment)
    with said.open("ab") as log:
        os.dup2(log.fileno(), 1)
        os.dup2(log.fileno(), 2)
    sys.argv = ["urbanos", *words]
    from app.cli.main import main  # noqa: PLC0415 - in the child alone

    main()
