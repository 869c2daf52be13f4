"""The notices job: tells both sides which agreements end soon. Ends none."""

from app.agreements import notices
from app.kit.db import Database


async def give_notices(database: Database) -> None:
    """Give every notice that is due, some a transaction."""
    given = 1
    while given:
        async with database.writing() as session:
            given = await notices.give(session)
