"""A real Mosquitto of a test's own, on free ports, with its messages in a temporary folder."""

import asyncio
import os
import shutil
import socket
import subprocess
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psutil
from cryptography.x509.oid import ExtendedKeyUsageOID
from paho.mqtt import client as library
from paho.mqtt.enums import CallbackAPIVersion

from tests.oauth.certificates import DAY, Authority

USER, PASSWORD = "city", "hidden-word-7"
_SEARCHED = f"{os.environ['PATH']}:/usr/sbin"


@dataclass(slots=True)
class Mosquitto:
    """One broker, of which every port asks for a password: a plain one, one with TLS, one that asks
    for our certificate too, and one whose own has ended."""

    folder: Path
    authority: Authority
    port: int
    tls_port: int
    mtls_port: int
    expired_port: int
    _process: "subprocess.Popen[bytes] | None" = field(default=None, repr=False)

    def settings(self, **more: Any) -> dict[str, Any]:
        """Of a connector to it."""
        told = {"host": "127.0.0.1", "port": self.port, "tls": "off", "user": USER}
        return {**told, "password": PASSWORD, **more}

    async def start(self) -> None:
        """Begin, or begin again with what it has kept."""
        program = shutil.which("mosquitto", path=_SEARCHED)
        assert program is not None, "Debian: apt install mosquitto"
        self._process = subprocess.Popen(
            [program, "-c", str(self.folder / "mosquitto.conf")],
            stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
        )  # fmt: skip
        for _ in range(200):
            try:
                _, writer = await asyncio.open_connection("127.0.0.1", self.port)
            except OSError:
                await asyncio.sleep(0.02)
                continue
            writer.close()
            return
        raise AssertionError("mosquitto does not listen")

    def stop(self) -> None:
        """End in order: what it holds for others is written."""
        if self._process is not None:
            self._process.terminate()
            self._process.wait(10)

    def open_now(self) -> int:
        """Connections of this process to it."""
        its = psutil.Process().net_connections("tcp")
        return sum(each.status == "ESTABLISHED" and each.raddr.port == self.port for each in its)

    async def publish(
        self, *messages: tuple[str, bytes], qos: int = 1, retain: bool = False
    ) -> None:
        """As another client; returns once the broker has them."""
        await asyncio.to_thread(self._publish, messages, qos, retain)

    def _publish(self, messages: Sequence[tuple[str, bytes]], qos: int, retain: bool) -> None:
        client = library.Client(CallbackAPIVersion.VERSION2)
        client.username_pw_set(USER, PASSWORD)
        client.connect("127.0.0.1", self.port)
        client.loop_start()
        sent = [client.publish(topic, body, qos, retain) for topic, body in messages]
        for each in sent:
            each.wait_for_publish(10)
        client.disconnect()
        client.loop_stop()
        client._reset_sockets()


@asynccontextmanager
async def mosquitto(folder: Path) -> AsyncIterator[Mosquitto]:
    """A broker with an authority that vouches for it."""
    authority = Authority(folder)
    plain, by_tls, mutual, expired = _free_ports(4)
    made = Mosquitto(folder, authority, plain, by_tls, mutual, expired)
    lines = [
        "per_listener_settings false", "allow_anonymous false", "user root",
        f"password_file {folder}/passwords", f"acl_file {folder}/acl",
        "persistence true", f"persistence_location {folder}/", "max_queued_messages 100000",
        f"listener {made.port} 127.0.0.1",
    ]  # fmt: skip
    use = ExtendedKeyUsageOID.SERVER_AUTH
    fine = authority.issue("broker", use=use)
    ended = authority.issue("expired", use=use, ends_in=-DAY)
    for port in (made.tls_port, made.mtls_port, made.expired_port):
        its = ended if port == made.expired_port else fine
        lines += [
            f"listener {port} 127.0.0.1", f"certfile {its.pem}", f"keyfile {its.key}",
            f"cafile {authority.pem}", f"require_certificate {str(port == made.mtls_port).lower()}",
        ]  # fmt: skip
    (folder / "mosquitto.conf").write_text("\n".join(lines) + "\n")
    (folder / "acl").write_text(f"user {USER}\ntopic readwrite city/#\n")
    shutil.copy2("/dev/null", folder / "passwords")
    program = shutil.which("mosquitto_passwd", path=_SEARCHED)
    assert program is not None
    subprocess.run([program, "-b", str(folder / "passwords"), USER, PASSWORD], check=True)
    await made.start()
    try:
        yield made
    finally:
        made.stop()


def _free_ports(count: int) -> list[int]:
    held = [socket.create_server(("127.0.0.1", 0)) for _ in range(count)]
    ports = [each.getsockname()[1] for each in held]
    for each in held:
        each.close()
    return ports
