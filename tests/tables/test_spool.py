"""Bytes between a quick giver and a slow taker: all of them, in order, and no more memory."""

import asyncio

from hypothesis import given
from hypothesis import strategies as st

from app.tables.spool import Spool


@given(st.lists(st.binary(max_size=300_000), max_size=8), st.lists(st.booleans(), max_size=16))
def test_what_is_put_is_taken_whatever_the_pace(pieces: list[bytes], turns: list[bool]) -> None:
    async def play() -> bytes:
        spool, waiting, taken = Spool(), list(pieces), b""
        for is_put in turns:
            if is_put and waiting:
                spool.put(waiting.pop(0))
            elif spool._put > spool._taken:
                taken += await spool.take()
        for piece in waiting:
            spool.put(piece)
        spool.finish()
        while piece := await spool.take():
            taken += piece
        spool.close()
        return taken

    assert asyncio.run(play()) == b"".join(pieces)


async def test_a_taker_waits_for_what_is_still_to_come() -> None:
    spool = Spool()
    taking = asyncio.create_task(spool.take())
    await asyncio.sleep(0.01)
    assert not taking.done()

    spool.put(b"late")

    assert await asyncio.wait_for(taking, 1) == b"late"
    spool.finish()
    assert await spool.take() == b""
    spool.close()


async def test_a_taker_that_keeps_up_leaves_the_file_empty() -> None:
    spool = Spool()
    for _ in range(50):
        spool.put(b"x" * 100_000)
        assert len(await spool.take()) == 100_000

    spool._file.seek(0, 2)
    assert spool._file.tell() == 0
    spool.close()
