"""A real MariaDB for tests: a process of its own in a folder of its own, on a port that was free."""

import getpass
import shutil
import socket
import subprocess
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pymysql

from tests.bench.stage import free_port

READER, PASSWORD = "reader", "hidden-word-4"
_SECONDS = 30.0
_TLS = ("--ssl-cert={0}/server.pem", "--ssl-key={0}/server.pem")


@dataclass(slots=True)
class MariaDb:
    """A server, and its owner's connection."""

    folder: Path
    port: int = field(default_factory=free_port)
    process: "subprocess.Popen[bytes] | None" = None
    owner: Any = None

    def start(self) -> None:
        """From nothing, or from what it was when it was stopped."""
        data = self.folder / "data"
        who = f"--user={getpass.getuser()}"
        if not data.exists():
            made = (
                "--no-defaults",
                f"--datadir={data}",
                who,
                "--auth-root-authentication-method=normal",
            )
            subprocess.run(
                [_program("mariadb-install-db"), *made, "--skip-test-db"],
                check=True,
                capture_output=True,
            )
        tls = [each.format(self.folder) for each in _TLS if (self.folder / "server.pem").exists()]
        with (self.folder / "log").open("ab") as log:
            self.process = subprocess.Popen(
                [
                    _program("mariadbd"), "--no-defaults", f"--datadir={data}", who, f"--port={self.port}",
                    f"--socket={self.folder}/s", "--bind-address=127.0.0.1", "--skip-log-bin",
                    "--innodb-flush-log-at-trx-commit=2", "--innodb-buffer-pool-size=64M",
                    f"--pid-file={self.folder}/pid", "--skip-name-resolve", "--local-infile=1", *tls,
                ],
                stdout=log, stderr=log,
            )  # fmt: skip
        self.owner = self._connected()

    def _connected(self) -> Any:
        ends_at = time.monotonic() + _SECONDS
        while not self._listens():
            assert time.monotonic() < ends_at, (self.folder / "log").read_text()
            time.sleep(0.05)
        return pymysql.connect(
            unix_socket=f"{self.folder}/s", user="root", charset="utf8mb4", autocommit=True,
            local_infile=True, ssl_disabled=True,
        )  # fmt: skip

    def _listens(self) -> bool:
        with socket.socket(socket.AF_UNIX) as asking:
            try:
                asking.connect(f"{self.folder}/s")
            except OSError:
                return False
            return True

    def stop(self) -> None:
        """As a service manager would."""
        if self.owner is not None and self.owner.open:
            self.owner.close()
        if self.process is not None:
            self.process.terminate()
            self.process.wait(_SECONDS)

    def run(self, sql: str, *values: Any) -> list[tuple[Any, ...]]:
        """What the owner's statement gives."""
        with self.owner.cursor() as cursor:
            cursor.execute(sql, values or None)
            return list(cursor.fetchall())

    def database(self, name: str) -> str:
        """Made anew, for the reader to read."""
        self.run(f"DROP DATABASE IF EXISTS {name}")
        self.run(f"CREATE DATABASE {name} CHARACTER SET utf8mb4")
        self.run(f"CREATE USER IF NOT EXISTS {READER}@'%' IDENTIFIED BY '{PASSWORD}'")
        self.run(f"GRANT SELECT ON {name}.* TO {READER}@'%'")
        return name

    def open_now(self) -> int:
        """The reader's connections."""
        told = "SELECT count(*) FROM information_schema.processlist WHERE user = 'reader'"
        return int(self.run(told)[0][0])

    def settings(self, database: str, /, **more: object) -> dict[str, object]:
        """What a connector is told."""
        return {
            "dialect": "mysql", "host": "127.0.0.1", "port": self.port, "database": database,
            "user": READER, "password": PASSWORD, "tls": "off", **more,
        }  # fmt: skip


def _program(name: str) -> str:
    found = shutil.which(name) or shutil.which(name, path="/usr/sbin:/usr/local/sbin")
    assert found is not None, f"{name} is not installed: apt install mariadb-server (Debian)"
    return found
