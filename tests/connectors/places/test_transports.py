"""The kind `file` keeps to the contract over every transport, each with a real server."""

import secrets
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest_asyncio

from app.connectors.file import FileConnector, FileSelection
from app.connectors.places.settings import PlaceSettings
from tests.connectors.contract import Contract, Row, Stage
from tests.connectors.places.servers import PASSWORD, Serving
from tests.connectors.sources import means
from tests.connectors.test_contract import ROWS, _csv
from tests.files.test_bucket import KEYS


@asynccontextmanager
async def _stage(its: Serving, secret: str = PASSWORD) -> AsyncIterator[Stage]:
    rows, folder = list(ROWS), secrets.token_hex(4)
    its.put(f"{folder}/a-1.csv", _csv(rows), 1_000_000_000)
    async with means() as ours:
        connector = FileConnector(PlaceSettings.model_validate(its.at(folder)), ours)

        async def add(row: Row) -> None:
            rows.append(row)
            its.put(f"{folder}/a-2.csv", _csv(rows))

        async def go_away() -> None:
            its.remove(f"{folder}/a-1.csv")

        yield Stage(
            connector, FileSelection(path="a-*.csv"), ROWS, add, go_away, lambda: its.open_now,
            secret, ["a-1.csv"],
        )  # fmt: skip


class TestSftp(Contract):
    """By a password, and a host key that is known by its fingerprint."""

    @pytest_asyncio.fixture(loop_scope="session")
    async def stage(self, sftp: Serving) -> AsyncIterator[Stage]:
        async with _stage(sftp) as made:
            yield made


class TestFtp(Contract):
    """Plain, as old systems speak."""

    @pytest_asyncio.fixture(loop_scope="session")
    async def stage(self, ftp: Serving) -> AsyncIterator[Stage]:
        async with _stage(ftp) as made:
            yield made


class TestFtps(Contract):
    """Explicit TLS for the control and the data connection."""

    @pytest_asyncio.fixture(loop_scope="session")
    async def stage(self, ftps: Serving) -> AsyncIterator[Stage]:
        async with _stage(ftps) as made:
            yield made


class TestDav(Contract):
    """By HTTP, with a password."""

    @pytest_asyncio.fixture(loop_scope="session")
    async def stage(self, dav: Serving) -> AsyncIterator[Stage]:
        async with _stage(dav) as made:
            yield made


class TestS3(Contract):
    """By signed addresses."""

    @pytest_asyncio.fixture(loop_scope="session")
    async def stage(self, s3: Serving) -> AsyncIterator[Stage]:
        async with _stage(s3, KEYS[1]) as made:
            yield made
