"""One MariaDB for all tests of a process."""

import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.connectors.sql.mariadb import MariaDb
from tests.kit.test_outbound import _certificate


@pytest.fixture(scope="session")
def mariadb() -> Iterator[MariaDb]:
    """A server with a certificate of `db.example.jp`. A socket's path is short, so it lies in /tmp."""
    folder = Path(tempfile.mkdtemp(prefix="urbanos-mariadb-"))
    made = MariaDb(folder)
    try:
        _certificate(folder, "db.example.jp").rename(folder / "server.pem")
        made.start()
        yield made
    finally:
        made.stop()
        shutil.rmtree(folder, ignore_errors=True)
