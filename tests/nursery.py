"""Servers that are there in a moment: forked, as processes of their own, from one that has read the
code before. For whoever kills many, and for commands."""

import multiprocessing
import os
import subprocess
import sys
import tempfile
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


def done(
    words: list[str], environment: Mapping[str, str], *, told: str | None, patience_s: float
) -> subprocess.CompletedProcess[str]:
    """What a command says and how it ends, as `subprocess.run` gives it: without the second that a
    new Python takes to read the code. `environment` is all that it finds there."""
    with tempfile.TemporaryDirectory() as folder:
        given, said, noted = (Path(folder) / name for name in ("given", "said", "noted"))
        given.write_text(told or "", "utf-8")
        process = _MOTHER.Process(
            target=_run,
            args=(words, dict(environment), said),
            kwargs={"noted": noted, "given": given},
        )
        process.start()
        process.join(patience_s)
        if process.exitcode is None:
            process.kill()
            raise subprocess.TimeoutExpired(words, patience_s)
        out, error = (each.read_text("utf-8", "replace") for each in (said, noted))
        return subprocess.CompletedProcess(words, process.exitcode, out, error)


def _run(
    words: list[str], environment: dict[str, str], said: Path, *,
    noted: Path | None = None, given: Path | None = None,
) -> None:  # fmt: skip
    if given is not None:
        os.environ.clear()
        os.dup2(os.open(given, os.O_RDONLY), 0)
        sys.stdin = open(0, encoding="utf-8", closefd=False)  # noqa: SIM115 - for as long as it lives
    os.environ.update(environment)
    with said.open("ab") as log, (noted or said).open("ab") as notes:
        os.dup2(log.fileno(), 1)
        os.dup2(notes.fileno(), 2)
    sys.argv = [str(Path(sys.executable).with_name("urbanos")), *words]
    from app.cli.main import main  # noqa: PLC0415 - in the child alone

    main()
