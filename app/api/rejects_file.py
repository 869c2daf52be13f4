"""A run's rejected rows as the CSV that they came from, for Excel: UTF-8 with a BOM."""

from collections.abc import AsyncIterator

from app.catalogue import runs
from app.kit.db import Database
from app.models.datasets import Run


async def rejects_csv(database: Database, run: Run) -> AsyncIterator[bytes]:
    """The header and each rejected row once, in file order, a thousand at a time."""
    yield f"\ufeff{run.header or ''}\r\n".encode()
    last, last_row = 0, 0
    while True:
        async with database.reading() as session:
            found = await runs.list_rejects(session, run.id, after=last)
        lines = []
        for reject in found:
            if reject.row != last_row:
                lines.append(f"{reject.raw_line}\r\n")
            last, last_row = reject.id, reject.row
        yield "".join(lines).encode()
        if len(found) <= runs.REJECTS_A_PAGE:
            return
