"""A listener as a worker has it, that tests start, freeze and stop."""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from app.tasks.stream import Streamer
from tests.connectors.farm import Farm

_MOST_S = 15.0


async def until(is_so: Callable[[], bool]) -> None:
    """Wait for what another task does."""
    for _ in range(int(_MOST_S / 0.02)):
        if is_so():
            return
        await asyncio.sleep(0.02)
    raise AssertionError("it was waited for in vain")


@dataclass(slots=True)
class Streaming:
    """The streams of a steward's connectors."""

    farm: Farm
    _streamer: Streamer = field(init=False)
    _running: "asyncio.Task[None] | None" = None

    def __post_init__(self) -> None:
        self._streamer = Streamer(
            self.farm.harvester, "http://urbanos.test", look_seconds=0.05, lease_seconds=0.6,
            first_wait_seconds=0.1,
        )  # fmt: skip

    def start(self) -> None:
        """Begin to listen."""
        self._running = asyncio.create_task(self._streamer.run())

    def freeze(self) -> None:
        """As a process that is stopped: it renews nothing, and lets nothing go."""
        self._streamer.look_seconds = 3_600.0

    async def stop(self) -> None:
        """End as a worker does."""
        if self._running is not None:
            self._running.cancel()
            await asyncio.wait({self._running})

    async def going(self, connector: str, at: int = 0) -> dict[str, Any]:
        """How a stream goes, as the API has it."""
        found = await self.farm.ask("GET", f"/{connector}")
        assert found.status_code == 200, found.text
        told: dict[str, Any] = found.json()["feeds"][at]["stream"] or {}
        return told

    async def until(
        self, connector: str, is_so: Callable[[dict[str, Any]], bool], at: int = 0
    ) -> dict[str, Any]:
        """Wait until it goes so."""
        going: dict[str, Any] = {}
        for _ in range(int(_MOST_S / 0.03)):
            going = await self.going(connector, at)
            if going and is_so(going):
                return going
            await asyncio.sleep(0.03)
        raise AssertionError(f"it goes otherwise: {going}")
