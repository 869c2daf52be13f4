"""Across network namespaces: the agent's host reaches the platform, and nothing reaches the agent."""

import asyncio
import os
import secrets
import shutil
import socket
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from uuid import UUID

import pytest
import uvicorn
from cryptography.x509.oid import ExtendedKeyUsageOID
from fastapi import FastAPI

from app.cli.key_files import read_key
from app.outpost.folder import Folder
from tests.agents.outposts import AGREEMENT, Outpost, environment, registered
from tests.connectors.farm import Farm
from tests.database import REPO
from tests.oauth.certificates import Authority
from tests.serving import serving_as

_SOURCE_PORT = 8099
_SOURCE = f"""
from http.server import BaseHTTPRequestHandler, HTTPServer
class Bureau(BaseHTTPRequestHandler):
    def do_GET(self):
        body = "no,name\\n1,架空第一\\n".encode()
        self.send_response(200)
        self.send_header("Content-Type", "text/csv")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)
class Server(HTTPServer):
    def server_bind(self):
        self.socket.bind(self.server_address)
        self.server_name, self.server_port = "bureau", {_SOURCE_PORT}
server = Server(("0.0.0.0", {_SOURCE_PORT}), Bureau)
print("ready", flush=True)
server.serve_forever()
"""
_MEND = (
    "This test makes network namespaces: run it as root, with iproute2 (apt install iproute2) and in"
    " a container with --cap-add NET_ADMIN,SYS_ADMIN."
)


@dataclass(frozen=True, slots=True)
class Closed:
    """A network that lets nobody in."""

    name: str
    platform: str  # our address, as it is seen from there
    agent: str

    def start(self, *words: str) -> "subprocess.Popen[bytes]":
        return subprocess.Popen(["ip", "netns", "exec", self.name, *words], stdout=subprocess.PIPE)


def _ip(*words: str) -> None:
    done = subprocess.run(["ip", *words], capture_output=True, text=True, check=False)
    assert done.returncode == 0, f"ip {' '.join(words)}: {done.stderr}\n{_MEND}"


@pytest.fixture
def closed() -> Iterator[Closed]:
    """Two hosts and a cable. What answers from a port that is no dialler's is dropped: of what
    comes in, nothing gets a reply."""
    assert os.geteuid() == 0 and shutil.which("ip") is not None, _MEND
    tag, net = secrets.token_hex(3), 4 * secrets.randbelow(64)
    its = Closed(f"bureau-{tag}", f"10.213.{net}.1", f"10.213.{net}.2")
    here, there = f"h{tag}", f"b{tag}"
    _ip("netns", "add", its.name)
    try:
        _ip("link", "add", here, "type", "veth", "peer", "name", there, "netns", its.name)
        _ip("addr", "add", f"{its.platform}/30", "dev", here)
        _ip("link", "set", here, "up")
        _ip("-n", its.name, "addr", "add", f"{its.agent}/30", "dev", there)
        _ip("-n", its.name, "link", "set", there, "up")
        _ip("-n", its.name, "link", "set", "lo", "up")
        _ip(
            "-n", its.name, "rule", "add", "prio", "1", "from", its.agent, "ipproto", "tcp",
            "sport", "1-32767", "prohibit",
        )  # fmt: skip
        yield its
    finally:
        subprocess.run(["ip", "link", "del", here], capture_output=True, check=False)
        subprocess.run(["ip", "netns", "del", its.name], capture_output=True, check=False)


def _is_reached(host: str, port: int) -> bool:
    try:
        with socket.create_connection((host, port), timeout=0.5):
            return True
    except OSError:
        return False


async def test_a_source_that_nobody_reaches_feeds_a_dataset_by_an_agent_that_dials_out(
    farm: Farm, app: FastAPI, tmp_path: Path, closed: Closed
) -> None:
    told = await registered(farm.world, "kokuho")
    authority = Authority(tmp_path)
    server = authority.issue(
        "platform", use=ExtendedKeyUsageOID.SERVER_AUTH, address=closed.platform
    )
    folder = Folder(tmp_path / "agent")
    select = {"path": "facility.csv"}
    its = {"kind": "file", "settings": {"base": f"http://127.0.0.1:{_SOURCE_PORT}"},
            "serves": [{"agreement": AGREEMENT, "select": select}]}  # fmt: skip
    dataset = await farm.dataset()
    feed = {
        "dataset": dataset, "publish": True,
        "selection": {"agreement": AGREEMENT, "select": select},
    }  # fmt: skip
    connector = await farm.add("agent", {"source": "kokuho"}, feed)
    config = uvicorn.Config(
        app, host=closed.platform, port=0, lifespan="off", log_level="critical", access_log=False,
        ssl_certfile=server.pem, ssl_keyfile=server.key,
    )  # fmt: skip
    source = closed.start(sys.executable, "-c", _SOURCE)
    assert source.stdout is not None and source.stdout.readline() == b"ready\n"
    try:
        async with serving_as(config) as listening:
            url = f"https://{closed.platform}:{listening}"
            by_whom = ("ip", "netns", "exec", closed.name, sys.executable, "-m", "app.cli", "agent")
            enrolled = await asyncio.to_thread(
                subprocess.run,
                [*by_whom, "enrol", url, told["code"], "--ca", authority.pem], cwd=REPO,
                env=environment(folder.path), capture_output=True, text=True, check=False,
            )  # fmt: skip
            assert enrolled.returncode == 0, enrolled.stderr
            agent = Outpost(UUID(told["agent"]["id"]), folder, read_key(folder.key), url)
            agent.allow({"kokuho": its})
            process = agent.process("ip", "netns", "exec", closed.name)
            try:
                harvest = await farm.run(connector)
                reached = _is_reached(closed.agent, _SOURCE_PORT)
            finally:
                process.terminate()
                code = process.wait(10)
    finally:
        source.kill()
        source.communicate()

    assert (harvest["state"], harvest["rows"], reached) == ("ok", 1, False), agent.said
    assert await farm.records(dataset) == [{"no": "1", "name": "架空第一"}]
    assert code == 0
