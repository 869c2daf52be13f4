"""Programs of others, written in JavaScript, that tests run as they are published."""

import asyncio
import os
import shutil
from collections.abc import Sequence
from pathlib import Path

SCRIPTS = Path(__file__).parent
STRICT_CLIENT = "oauth4webapi@3.8.8"
PROVIDER = "oidc-provider@9.13.3"


def node() -> str:
    """Where Node.js is; a test without it fails."""
    found = shutil.which("node")
    assert found, "Node.js is needed: apt install nodejs npm (make test does it as root)"
    return found


async def run(*command: str, told: bytes = b"") -> bytes:
    """What a command writes; it must end well."""
    process = await asyncio.create_subprocess_exec(
        *command,
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
        env={**os.environ, "NODE_NO_WARNINGS": "1"},
    )
    out, err = await asyncio.wait_for(process.communicate(told), 90)
    assert process.returncode == 0, err.decode()
    return out


async def install(folder: Path, packages: Sequence[str]) -> None:
    """Packages at these very versions, into a folder of the test's own."""
    npm = shutil.which("npm")
    assert npm, "npm is needed: apt install nodejs npm (make test does it as root)"
    quiet = ("--silent", "--no-save", "--no-audit", "--no-fund", "--prefer-offline")
    await run(npm, "install", *quiet, "--prefix", str(folder), *packages)
