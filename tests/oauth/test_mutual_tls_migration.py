"""The migration that brings certificates, on a database with clients: up, down and up again."""

import asyncio
import secrets

import asyncpg
from alembic import command

from tests.database import DatabaseServer, dsn_of
from tests.tables.test_versions_migration import _move

_BEFORE, _WITH = "0022", "0023"
_FILLED = """
INSERT INTO organization (id, kind, name_ja, created_at) VALUES ('271004', 'city', '試験', now());
INSERT INTO client (id, organization_id, name, zone, roles, auth_method, jwks, redirect_uris,
    staff_of, exchange_from, created_at)
VALUES ('by-key', '271004', '試験', 'internet', '{}', 'private_key_jwt', '{"keys": []}', '{}', '{}',
    '{}', now());
"""
_NEWER = """
INSERT INTO client (id, organization_id, name, zone, roles, auth_method, tls_subject,
    certificate_bound, redirect_uris, staff_of, exchange_from, created_at)
VALUES ('by-certificate', '271004', '試験', 'internet', '{}', 'tls_client_auth', 'CN=a', true, '{}',
    '{}', '{}', now());
"""
_STANDING = "SELECT id, auth_method, revoked_at IS NOT NULL FROM client ORDER BY id DESC"


async def test_a_client_of_a_certificate_is_revoked_on_the_way_down(
    embedded: DatabaseServer,
) -> None:
    name = f"m_{secrets.token_hex(5)}"
    url = await embedded.make_database(name)
    await asyncio.to_thread(_move, url, command.upgrade, _BEFORE)
    connection = await asyncpg.connect(dsn_of(url))
    await connection.execute(_FILLED)
    await asyncio.to_thread(_move, url, command.upgrade, _WITH)
    await connection.execute(_NEWER)

    await asyncio.to_thread(_move, url, command.downgrade, _BEFORE)
    down = [tuple(row) for row in await connection.fetch(_STANDING)]
    await asyncio.to_thread(_move, url, command.upgrade, _WITH)
    up = [tuple(row) for row in await connection.fetch(_STANDING)]
    await connection.close()
    await embedded.drop_database(name)

    assert down == up == [
        ("by-key", "private_key_jwt", False),
        ("by-certificate", "client_secret_basic", True),
    ]  # fmt: skip
