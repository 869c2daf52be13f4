"""Migrations as an ordinary login of a shared server makes them."""

import asyncio
import secrets

import asyncpg
import pytest

from app.kit import migrations
from app.kit.db import plain_dsn
from tests.database import DatabaseServer


async def test_a_login_without_a_right_is_told_what_to_have_done_and_then_migrates(
    template: DatabaseServer,
) -> None:
    name, role = f"m_{secrets.token_hex(5)}", f"r_{secrets.token_hex(5)}"
    url = plain_dsn(await template.make_database(name))  # as a deployment writes it
    owner = await asyncpg.connect(url)
    database = await owner.fetchval("SELECT current_database()")
    await owner.execute(f'CREATE ROLE {role}; ALTER DATABASE "{database}" OWNER TO {role}')
    # Whoever connects now is that role, which is neither a superuser nor may it make roles.
    await owner.execute(f'ALTER ROLE CURRENT_USER IN DATABASE "{database}" SET role = {role}')
    try:
        with pytest.raises(migrations.MigrationRefused) as told:
            await asyncio.to_thread(migrations.upgrade, url)
        assert f"GRANT urbanos_linker TO {role} WITH INHERIT FALSE" in told.value.words("en")
        assert await migrations.current(url) is None
        await owner.execute(f"GRANT urbanos_linker TO {role} WITH INHERIT FALSE, SET TRUE")

        await asyncio.to_thread(migrations.upgrade, url)

        assert await migrations.current(url) == migrations.newest()
        plain = await asyncpg.connect(url)
        with pytest.raises(asyncpg.InsufficientPrivilegeError):
            await plain.fetch("SELECT * FROM linker.person")
        await plain.close()
    finally:
        await owner.close()
        await template.drop_database(name)
