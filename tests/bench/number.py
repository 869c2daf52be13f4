"""How fast the boundary of the individual number reads CSV, beside what reading it as text takes."""

import time
from collections.abc import Callable
from itertools import islice

from app.api.number_guard import in_head
from app.formats.individual_number import Watch
from tests.bench import facilities
from tests.bench.figures import ROUNDS, Figure
from tests.bench.stage import Stage

_ROWS = 200_000
_PIECE = 1 << 20
_CALLS = 200_000
_SCOPE = {
    "path": "/v1/datasets/osaka-parks/records",
    "query_string": b"limit=100&purpose=care",
    "headers": [
        (b"host", b"urbanos.example.jp"),
        (b"authorization", b"Bearer x"),
        (b"accept", b"application/json"),
        (b"user-agent", b"wrk"),
    ],
}


async def number(_stage: Stage) -> list[Figure]:
    """A scan in pieces of a megabyte, strict decoding of the same bytes, and one request's head.

    In time of the processor: all three are nothing but computing.
    """
    data = "".join(islice(facilities.lines(7), _ROWS)).encode()
    scanned, decoded, heads = [], [], []
    for _ in range(ROUNDS):
        scanned.append(_megabytes_a_second(data, _scan))
        decoded.append(_megabytes_a_second(data, lambda whole: len(whole.decode())))
        heads.append(_nanoseconds_a_head())
    return [
        Figure("individual number, CSV scan", "MB/s", tuple(scanned), wanted_above=200),
        Figure("the same bytes decoded", "MB/s", tuple(decoded)),
        Figure("a request without digits", "ns", tuple(heads)),
    ]


def _scan(data: bytes) -> int:
    watch = Watch()
    found = [watch.feed(data[at : at + _PIECE]) for at in range(0, len(data), _PIECE)]
    found.append(watch.feed(b"", last=True))
    return sum(map(len, found))


def _megabytes_a_second(data: bytes, work: Callable[[bytes], int]) -> float:
    began = time.process_time()
    work(data)
    return len(data) / 1e6 / (time.process_time() - began)


def _nanoseconds_a_head() -> float:
    began = time.process_time()
    for _ in range(_CALLS):
        in_head(_SCOPE)
    return (time.process_time() - began) / _CALLS * 1e9
