"""Harvests of a MariaDB table of 300,000 rows, beside what its own client and dump take for them."""

import asyncio
import shutil
import subprocess
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from app.connectors.frame import Means
from app.connectors.sql import SqlConnector, SqlSelection, SqlSettings
from app.kit.outbound import Allowed, Outbound
from tests.bench import facilities
from tests.bench.figures import Figure, rounds
from tests.bench.loads import raw_copy
from tests.bench.stage import ROWS, Process, Stage, free_port, spawn
from tests.connectors.sql.mariadb import MariaDb

_HERE = "127.0.0.0/8"
_TABLE = (
    "CREATE TABLE facility (施設番号 varchar(10) PRIMARY KEY, 名称 varchar(100), 名称カナ varchar(100),"
    " 区コード char(5), 住所 varchar(200), 電話番号 varchar(20), 定員 int, 緯度 decimal(9,6),"
    " 経度 decimal(9,6), 更新日 date)"
)


async def mariadb(stage: Stage) -> list[Figure]:
    """The bytes of a harvest alone, and a harvest through the take-in to its end."""
    folder = Path(tempfile.mkdtemp(prefix="urbanos-mariadb-"))
    server = MariaDb(folder)
    outbound = Outbound(Allowed.parse(_HERE))
    worker: Process | None = None
    try:
        await asyncio.to_thread(_fill, server)
        settings = server.settings("bench")
        connector = SqlConnector(SqlSettings.model_validate(settings), Means(outbound))
        worker = spawn(
            stage.folder, stage.url, stage.issuer, "worker", free_port(), None,
            URBANOS_OUTBOUND_ALLOW=_HERE,
        )  # fmt: skip
        path = server.folder / "facilities.csv"
        taken, dumped, selected, loaded, copied = await rounds(
            lambda _: _harvest(connector),
            lambda _: _pace(lambda: _run(server, "mariadb-dump", "bench", "facility")),
            lambda _: _pace(
                lambda: _run(
                    server, "mariadb", "--quick", "-B", "-e", "SELECT * FROM facility", "bench"
                )
            ),
            lambda at: _load(stage, settings, f"bench-harvest-{at}"),
            lambda at: raw_copy(stage, path, f"bench-harvest-{at}"),
        )
    finally:
        if worker is not None:
            worker.stop()
        await outbound.close()
        server.stop()
        shutil.rmtree(folder, ignore_errors=True)
    return [
        Figure("harvest of MariaDB, fetched", "rows/s", taken, wanted_above=60_000),
        Figure("the same", "rows/s", taken, dumped, "mariadb-dump"),
        Figure("the same", "rows/s", taken, selected, "mariadb --quick"),
        Figure(
            "harvest of MariaDB, from the asking to the version",
            "rows/s",
            loaded,
            wanted_above=60_000,
        ),
        Figure("the same", "rows/s", loaded, copied, "COPY of them, same indexes"),
    ]


def _fill(server: MariaDb) -> None:
    server.start()
    server.database("bench")
    server.owner.select_db("bench")
    server.run(_TABLE)
    path = server.folder / "facilities.csv"
    facilities.write(path, seed=1, rows=ROWS)
    how = "CHARACTER SET utf8mb4 FIELDS TERMINATED BY ',' IGNORE 1 LINES"
    server.run(f"LOAD DATA LOCAL INFILE '{path}' INTO TABLE facility {how}")


async def _harvest(connector: SqlConnector) -> float:
    began, lines = time.perf_counter(), 0
    async with connector.harvest(SqlSelection(table="facility")) as got:
        assert got is not None
        async for piece in got.pieces:
            lines += piece.count(b"\n")
    assert lines == ROWS + 1
    return ROWS / (time.perf_counter() - began)


async def _pace(do: Callable[[], None]) -> float:
    began = time.perf_counter()
    await asyncio.to_thread(do)
    return ROWS / (time.perf_counter() - began)


def _run(server: MariaDb, program: str, *words: str) -> None:
    """What the client writes goes to a file: a pipe that nobody reads is no measure."""
    with (server.folder / "out").open("wb") as out:
        told = [program, f"--socket={server.folder}/s", "--user=root", *words]
        subprocess.run(told, stdout=out, check=True)


async def _load(stage: Stage, settings: dict[str, object], dataset: str) -> float:
    """From the asking to the version, with what waits in between."""
    await stage.register(dataset, "public")
    headers = await stage.stewards_token()
    body = {
        "kind": "sql", "name": dataset, "settings": settings,
        "feeds": [{"dataset": dataset, "selection": {"table": "facility"}}],
    }  # fmt: skip
    made = await stage.http.post("/v1/connectors", json=body, headers=headers)
    assert made.status_code == 201, made.text
    path, began = f"/v1/connectors/{made.json()['id']}/runs", time.perf_counter()
    asked = await stage.http.post(path, json={}, headers=headers)
    assert asked.status_code == 202, asked.text
    while True:
        answer = await stage.http.get(f"{path}/{asked.json()['id']}", headers=headers)
        told = answer.json()
        if told["ended_at"] is not None:
            assert (told["state"], told["rows"]) == ("ok", ROWS), told
            return ROWS / (time.perf_counter() - began)
        await asyncio.sleep(0.1)
