"""A real Redis of a test's own, on a free port, that it may stop and start."""

import asyncio
import os
import shutil
import socket
import subprocess
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

import pytest

PROGRAMS = ("valkey-server", "redis-server")


@pytest.fixture(scope="session")
def store_program() -> str:
    """The server's program, installed where it is missing and may be."""
    for name in PROGRAMS:
        found = shutil.which(name)
        if found is not None:
            return found
    if os.getuid() == 0 and shutil.which("apt-get"):
        # Only its program is wanted: nothing may begin to serve by being installed.
        subprocess.run(
            ["apt-get", "install", "-y", "-qq", "redis-server"], check=True, capture_output=True,
            timeout=300, env={**os.environ, "DEBIAN_FRONTEND": "noninteractive", "RUNLEVEL": "1"},
        )  # fmt: skip
        found = shutil.which("redis-server")
    if found is None:
        pytest.skip("needs valkey-server or redis-server (Debian: apt install redis-server)")
    return found


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


@dataclass(slots=True)
class Store:
    """It keeps nothing: what is stopped has forgotten."""

    program: str
    folder: Path
    port: int = field(default_factory=free_port)
    process: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        return f"valkey://127.0.0.1:{self.port}/0"

    async def start(self) -> None:
        words = [self.program, "--port", str(self.port), "--bind", "127.0.0.1", "--save", ""]
        self.process = subprocess.Popen(
            [*words, "--dir", str(self.folder)], stdout=subprocess.DEVNULL
        )
        async with asyncio.timeout(10):
            while True:
                with suppress(OSError):
                    _, writer = await asyncio.open_connection("127.0.0.1", self.port)
                    writer.close()
                    await writer.wait_closed()
                    return
                await asyncio.sleep(0.02)

    def stop(self) -> None:
        if self.process is not None:
            self.process.kill()
            self.process.wait()
            self.process = None
