"""A server killed (SIGKILL) at any moment has answered nothing that its log does not hold."""

import random
from pathlib import Path

import httpx
import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from app.audit import tree
from app.audit.notes import WITNESS, Signer
from app.kit.settings import Settings
from app.models.parties import Role
from tests.answering import Asking, Crowd, Watch, entries_of, faults, survive
from tests.bench.stage import Process, fork, free_port
from tests.stock import PURPOSE, agreed, path, stocked
from tests.world import SAKAI, World

pytestmark = pytest.mark.long

KILLS = 3
ROWS = [{"no": f"{at}", "name": "架空", "size": at} for at in range(7)]


async def asked_of(world: World, dataset: str) -> list[Asking]:
    """Reads that are allowed, two that are refused, and what the log must say of each."""
    scope, url = f"dataset:{dataset}:read", f"{path(dataset)}?purpose="
    consumer = await world.party(SAKAI, Role.DEVELOPER)
    agreement, _ = await agreed(world, dataset, consumer)
    headers = await world.bearer(consumer, scope)
    all_ = {"dataset": dataset, "client": consumer.id, "consumer": SAKAI}
    read = {**all_, "event": "records.read", "agreement": agreement, "purpose": PURPOSE}
    refused = {**all_, "event": "records.refused", "purpose": "health"}
    nobody = {"event": "records.refused", "dataset": dataset, "client": None, "purpose": PURPOSE}
    return [
        Asking(url + PURPOSE, headers, 200, {**read, "rows": 7}),
        Asking(f"{url}{PURPOSE}&limit=2&f=csv", headers, 200, {**read, "rows": 2}),
        Asking(url + "health", headers, 403, refused),
        Asking(url + PURPOSE, {}, 401, nobody),
    ]


@pytest.fixture
def watch(world: World, client: httpx.AsyncClient, tmp_path: Path) -> Watch:
    platform = world.platform
    witness = Signer("witness.example", WITNESS, Ed25519PrivateKey.generate())
    platform.log_keeper.witnesses = (witness.verifier,)
    return Watch(platform.database, platform.log_keeper, client, witness, tmp_path / "state")


async def test_every_answer_of_a_server_killed_at_random_moments_has_its_one_entry(
    world: World, watch: Watch, settings: Settings, database_url: str
) -> None:
    dataset = await stocked(world, ROWS, data_class="internal")
    port = free_port()
    crowd = Crowd(f"http://127.0.0.1:{port}", await asked_of(world, dataset), random.Random(1129))

    def serve() -> Process:
        return fork(settings.home, database_url, world.platform.issuer, port)

    await survive(crowd, serve, watch, kills=KILLS)

    database = world.platform.database
    entries = await entries_of(database, world.first)
    assert faults(crowd.answers, entries) == []
    assert len({answer.request for answer in crowd.answers}) == len(crowd.answers) > 10 * KILLS
    assert {answer.asking.status for answer in crowd.answers} == {200, 401, 403}
    assert crowd.cut_off > 0, "no kill met a question"
    assert watch.looks == KILLS
    await _signed_once(world)
    # It can fail: an entry taken away, doubled, or that says something else, is named.
    some = crowd.answers[len(crowd.answers) // 2]
    (seq, facts), *_ = entries[some.request]
    for wrong in ([], [(seq, facts)] * 2, [(seq + 1, facts)], [(seq, {**facts, "dataset": "d"})]):
        assert len(faults(crowd.answers, {**entries, some.request: wrong})) == 1


async def _signed_once(world: World) -> None:
    """Each checkpoint's root is that of the entries as they stand now: one history was signed."""
    pool = world.platform.database.pool
    signed = await pool.fetch("SELECT size, root FROM log_checkpoint ORDER BY size")
    roots = await tree.roots_of(pool, [(0, row["size"]) for row in signed])
    assert roots == [row["root"] for row in signed]
    assert len(signed) >= KILLS
