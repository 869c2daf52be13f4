"""`python -m tests.bench [--soak] [name …]`: measures and prints. A benchmark, not a gate.

The exit code is 0 even where a ratio is missed. Everything is measured beside its limit in the same run, in interleaved rounds: compare ratios.
"""

import argparse
import asyncio
import shutil
from collections.abc import Awaitable, Callable, Sequence

from tests.bench import (
    aggregates,
    consents,
    databases,
    files,
    formats,
    kills,
    live,
    live_whole,
    loads,
    number,
    places,
    reads,
    rest,
    revocation,
    searching,
    shapes,
)
from tests.bench.figures import Figure, print_table
from tests.bench.stage import Stage, load_datasets, open_stage

_LOADED: dict[str, Callable[[Stage], Awaitable[list[Figure]]]] = {
    "filtered": reads.filtered,
    "paged": reads.paged,
    "again": reads.again,
    "load": loads.load,
    "export": loads.export,
    "words": searching.records,
}
_EMPTY: dict[str, Callable[[Stage], Awaitable[list[Figure]]]] = {
    "workbook": formats.workbook,
    "parcels": formats.parcels,
    "memory": loads.memory,
    "number": number.number,
    "shapes": shapes.shapes,
    "places": places.places,
    "catalogue": searching.catalogue,
    "aggregates": aggregates.aggregates,
    "consents": consents.consents,
    "mariadb": databases.mariadb,
    "making": files.making,
    "download": files.download,
    "kills": kills.kills,
    "answers": kills.answers,
    "start": rest.start,
    "tokens": rest.tokens,
    "decisions": rest.decisions,
    "rights": rest.rights,
    "revocation": revocation.revocation,
    "log": rest.log,
    "live": live.live,
    "live_whole": live_whole.whole,
}
_FAILED = (AssertionError, RuntimeError, TimeoutError, ExceptionGroup)


async def measure(names: Sequence[str], *, is_soak: bool) -> list[Figure]:
    """The figures of the benchmarks named, or of all."""
    chosen = names or [*_LOADED, *_EMPTY]
    figures = []
    async with open_stage(is_soak=is_soak) as stage:
        if any(name in _LOADED for name in chosen):
            print("loading two datasets of 300,000 facilities …", flush=True)
            await load_datasets(stage)
        for name in chosen:
            print(f"{name} …", flush=True)
            try:
                figures += await (_LOADED | _EMPTY)[name](stage)
            except _FAILED as exc:  # the other figures are still wanted
                print(f"{name} FAILED: {exc}", flush=True)
    return figures


def main() -> None:
    """Read the command line, measure, print."""
    parser = argparse.ArgumentParser(prog="python -m tests.bench", description=__doc__)
    parser.add_argument(
        "--soak",
        action="store_true",
        help="also 1 GB in, 1 GB live, 2 million shapes, a million log entries, 400 kills",
    )
    parser.add_argument("names", nargs="*", metavar="name", help=" ".join([*_LOADED, *_EMPTY]))
    told = parser.parse_args()
    unknown = [name for name in told.names if name not in _LOADED | _EMPTY]
    if unknown:
        parser.error(f"no benchmark is named {', '.join(unknown)}")
    if shutil.which("wrk") is None and {"filtered", "paged", "again", "places"} & set(
        told.names or _LOADED
    ):
        parser.error("wrk is needed: apt install wrk (Debian), brew install wrk (macOS)")
    print_table(asyncio.run(measure(told.names, is_soak=told.soak)))


if __name__ == "__main__":
    main()
