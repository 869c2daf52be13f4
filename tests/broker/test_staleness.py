"""A replica that is cut off from its database refuses, each data class at its own bound."""

import asyncio
import contextlib
import tempfile
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import httpx
import pytest
from sqlalchemy import make_url

import app.main
from app.audit.events import Event
from app.kit.db import plain_dsn
from app.kit.live import Live
from app.kit.settings import Settings
from app.policy.rules import RANK
from app.policy.staleness import BOUNDS_S, is_too_old
from tests.bound import HOOKS
from tests.conftest import ISSUER
from tests.stock import PURPOSE, path, reader, stocked
from tests.world import KENKO, World

RECORDS = [{"no": "1", "name": "白鳥", "size": 5}]
MIXED = (("no", "code", {"key": True}), ("name", "text", {"visibility": "internal"}))
ASKED = {"purpose": PURPOSE}


def behind(monkeypatch: pytest.MonkeyPatch, seconds: float) -> None:
    """As if memory and database had last agreed so long ago, whatever the next poll finds."""
    monkeypatch.setattr(Live, "seconds_behind", property(lambda _live: seconds))


async def outcome(
    client: httpx.AsyncClient, dataset: str, headers: dict[str, str] | None = None
) -> tuple[int, str | None]:
    found = await client.get(path(dataset), params=ASKED if headers else {}, headers=headers)
    return found.status_code, found.json().get("code")


def test_every_class_has_a_bound_and_an_unknown_one_the_shortest() -> None:
    assert BOUNDS_S.keys() == RANK.keys()
    assert is_too_old("no-such-class", 30.1)


@pytest.mark.parametrize("data_class", ["public", "internal", "restricted"])
async def test_a_class_is_read_up_to_its_bound_and_not_beyond(
    client: httpx.AsyncClient, world: World, monkeypatch: pytest.MonkeyPatch, data_class: str
) -> None:
    dataset = await stocked(world, RECORDS, data_class=data_class)
    headers = await reader(world, dataset)

    behind(monkeypatch, BOUNDS_S[data_class] - 0.5)
    under = await outcome(client, dataset, headers)
    behind(monkeypatch, BOUNDS_S[data_class] + 0.5)
    over = await outcome(client, dataset, headers)

    assert under == (200, None)
    assert over == (503, "facts_too_old")
    (refused,) = await world.log(Event.RECORDS_REFUSED)
    assert refused["reason"] == "facts_too_old"


async def test_personal_data_stops_first(
    client: httpx.AsyncClient, world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    dataset = await world.dataset(data_class="personal")
    headers = await reader(world, await stocked(world, []))

    behind(monkeypatch, 29.5)
    under = await outcome(client, dataset, headers)
    behind(monkeypatch, 30.5)
    over = await outcome(client, dataset, headers)

    assert under != over
    assert over == (503, "facts_too_old")


@pytest.mark.parametrize(("language", "word"), [("ja", "データベース"), ("en", "cut off")])
async def test_the_refusal_says_that_it_passes(
    client: httpx.AsyncClient,
    world: World,
    monkeypatch: pytest.MonkeyPatch,
    language: str,
    word: str,
) -> None:
    dataset = await stocked(world, RECORDS, data_class="internal")
    behind(monkeypatch, 301)

    refused = await client.get(path(dataset), headers={"Accept-Language": language})

    assert refused.headers["Retry-After"] == "5"
    assert word in refused.json()["detail"]
    assert dataset in refused.json()["detail"]


async def test_an_old_public_dataset_shows_its_publisher_what_anybody_sees(
    client: httpx.AsyncClient, world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    dataset = await stocked(world, [{"no": "1", "name": "白鳥"}], MIXED)
    headers = await reader(world, dataset)
    writer = await world.token(await world.party(KENKO), f"dataset:{dataset}:write")

    fresh = await client.get(path(dataset), params=ASKED, headers=headers)
    behind(monkeypatch, 301)
    old = await client.get(path(dataset), params=ASKED, headers=headers)
    written = await client.post(path(dataset), json=[{"no": "2"}], headers=writer)

    assert fresh.json()["records"] == [{"no": "1", "name": "白鳥"}]
    assert old.json()["records"] == [{"no": "1"}]
    assert (written.status_code, written.json()["code"]) == (503, "facts_too_old")


class Cable:
    """A way to PostgreSQL that a test can cut and mend."""

    def __init__(self, folder: Path, url: str) -> None:
        address = make_url(url)
        folders = address.query.get("host")
        self._from = folder / ".s.PGSQL.5432"
        self._unix = f"{folders}/.s.PGSQL.{address.query.get('port', 5432)}" if folders else None
        self._tcp = (address.host or "127.0.0.1", address.port or 5432)
        query = {"host": str(folder), "port": "5432"}
        mine = address.set(host=None, port=None, query=query)
        self.url = mine.render_as_string(hide_password=False)
        self._server: asyncio.Server | None = None
        self._open: set[asyncio.StreamWriter] = set()

    async def mend(self) -> None:
        self._server = await asyncio.start_unix_server(self._join, self._from)

    def cut(self) -> None:
        assert self._server is not None
        self._server.close()
        self._from.unlink(missing_ok=True)
        for writer in self._open:
            writer.transport.abort()

    async def _join(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        opened = asyncio.open_unix_connection(self._unix) if self._unix else None
        there, back = await (opened or asyncio.open_connection(*self._tcp))
        self._open |= {writer, back}
        await asyncio.gather(_copy(reader, back), _copy(there, writer))
        self._open -= {writer, back}


async def _copy(source: asyncio.StreamReader, sink: asyncio.StreamWriter) -> None:
    with contextlib.suppress(OSError):
        while some := await source.read(65_536):
            sink.write(some)
            await sink.drain()
    sink.close()


@asynccontextmanager
async def replica(settings: Settings, url: str) -> AsyncIterator[tuple[httpx.AsyncClient, Live]]:
    """A second application, and what it has of the changes."""
    made = app.main.create_app(settings, url)
    async with (
        made.router.lifespan_context(made),
        httpx.AsyncClient(
            transport=httpx.ASGITransport(app=made), base_url=ISSUER, event_hooks=HOOKS
        ) as asking,
    ):
        yield asking, made.state.platform.live


async def _until(holds: Callable[[], bool]) -> None:
    async with asyncio.timeout(10):
        while not holds():  # noqa: ASYNC110 - what is awaited has no event
            await asyncio.sleep(0.02)


@pytest.mark.parametrize(
    ("is_all", "code"), [(False, "facts_too_old"), (True, "database_unavailable")]
)
async def test_a_replica_that_was_cut_off_refuses_and_goes_on_with_public_data(
    world: World,
    settings: Settings,
    database_url: str,
    monkeypatch: pytest.MonkeyPatch,
    is_all: bool,
    code: str,
) -> None:
    public = await stocked(world, RECORDS)
    internal = await stocked(world, RECORDS, data_class="internal")
    headers = await reader(world, internal)
    with tempfile.TemporaryDirectory() as folder:
        cable = Cable(Path(folder), database_url)
        await cable.mend()
        monkeypatch.setattr("app.main.Live", lambda _dsn: Live(plain_dsn(cable.url)))
        async with replica(settings, cable.url if is_all else database_url) as (client, live):
            before = [await outcome(client, public), await outcome(client, internal, headers)]
            assert before == [(200, None), (200, None)]

            cable.cut()
            await _until(lambda: live._is_lost)
            await asyncio.sleep(1.2)  # past a try to come back
            live.fresh_at -= BOUNDS_S["internal"]
            began = time.monotonic()
            cut = [await outcome(client, public), await outcome(client, internal, headers)]
            taken = time.monotonic() - began
            await cable.mend()
            await _until(lambda: live.seconds_behind < 2)
            after = await outcome(client, internal, headers)
            cable.cut()

    assert cut == [(200, None), (503, code)]
    assert taken < 2
    assert after == (200, None)
