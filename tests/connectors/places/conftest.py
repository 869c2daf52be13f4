"""One server of each kind for a file of tests."""

from collections.abc import AsyncIterator, Iterator

import asyncssh
import pytest
import pytest_asyncio

from tests.connectors.places import servers
from tests.connectors.places.servers import Serving


@pytest.fixture(scope="module")
def key(tmp_path_factory: pytest.TempPathFactory) -> asyncssh.SSHKey:
    """A private key that may sign in."""
    return asyncssh.generate_private_key("ssh-ed25519")


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def sftp(
    tmp_path_factory: pytest.TempPathFactory, key: asyncssh.SSHKey
) -> AsyncIterator[Serving]:
    """SFTP."""
    keys = tmp_path_factory.mktemp("keys") / "authorized_keys"
    keys.write_bytes(key.export_public_key())
    async with servers.sftp(tmp_path_factory.mktemp("sftp"), keys) as its:
        yield its


@pytest.fixture(scope="module")
def ftp(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Serving]:
    """Plain FTP."""
    with servers.ftp(tmp_path_factory.mktemp("ftp")) as its:
        yield its


@pytest.fixture(scope="module")
def ftps(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Serving]:
    """FTP with explicit TLS, whose data connections have to take up the session."""
    file = servers.certificate(tmp_path_factory.mktemp("tls"), "127.0.0.1")
    with servers.ftp(tmp_path_factory.mktemp("ftps"), file) as its:
        its.settings["ca"] = file.read_text().partition("-----END PRIVATE KEY-----")[2]
        yield its


@pytest.fixture(scope="module")
def dav(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Serving]:
    """WebDAV."""
    with servers.dav(tmp_path_factory.mktemp("dav")) as its:
        yield its


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def s3(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Serving]:
    """S3."""
    with pytest.MonkeyPatch.context() as patch:
        async with servers.s3(tmp_path_factory.mktemp("s3"), patch) as its:
            yield its


@pytest.fixture(scope="module")
def transports(
    sftp: Serving, ftp: Serving, ftps: Serving, dav: Serving, s3: Serving
) -> dict[str, Serving]:
    """Each by its name."""
    return {"sftp": sftp, "ftp": ftp, "ftps": ftps, "dav": dav, "s3": s3}
