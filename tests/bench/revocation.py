"""How long a right that was taken away at one server process still opens anything at another."""

import statistics
from itertools import cycle, islice
from typing import Final

import httpx

from app.kit.settings import Settings
from app.main import open_platform
from app.models.parties import Role
from app.parties.seed import OPERATOR
from tests.bench.figures import Figure
from tests.bench.stage import Stage, until_answers
from tests.revoking import WITHIN_S, right
from tests.world import World

_RUNS: Final = 1_000
_KINDS: Final = ("revoke", "client", "person")


async def revocation(stage: Stage) -> list[Figure]:
    """A thousand agreements, clients and people in turn, from sending the end to the first no."""
    other = stage.spawn("platform")
    await until_answers(other, "/readyz")
    settings = Settings(home=stage.folder, public_url=stage.issuer)
    taken: dict[str, list[float]] = {kind: [] for kind in _KINDS}
    try:
        async with (
            open_platform(settings, stage.url) as platform,
            httpx.AsyncClient(base_url=f"http://127.0.0.1:{other.port}", timeout=60) as replica,
        ):
            world = World(platform, stage.http)
            operator = await world.party(OPERATOR, Role.OPERATOR)
            standing = await right(world, "suspend", {})
            for at, kind in enumerate(islice(cycle(_KINDS), _RUNS)):
                if at % 100 == 0:  # before it ends
                    admin = await world.token(operator, "admin:write")
                where = None if kind == "revoke" else standing.dataset
                one = await right(world, kind, admin, where)
                taken[kind].append(1_000 * await one.seconds_until_refused(replica))
    finally:
        other.stop()
    return [figure for kind, values in taken.items() for figure in _figures(kind, values)] + [
        *_figures("any", [each for values in taken.values() for each in values])
    ]


def _figures(kind: str, values: list[float]) -> list[Figure]:
    hundredths = statistics.quantiles(values, n=100, method="inclusive")
    told = f"revoked: {kind}, {len(values)} runs"
    return [
        Figure(f"{told}, p50", "ms", (hundredths[49],)),
        Figure(f"{told}, p99", "ms", (hundredths[98],), wanted_below=1_000 * WITHIN_S),
        Figure(f"{told}, longest", "ms", (max(values),)),
    ]
