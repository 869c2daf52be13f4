"""The migration that brings the life cycle, on a database with agreements: up, down and up again."""

import asyncio
import secrets
from types import SimpleNamespace
from typing import Any, cast

import asyncpg
import pytest
from alembic import command

from app.agreements.canonical import sha256_of
from app.agreements.conclusion import _terms_of
from app.models.agreements import Agreement
from tests.database import DatabaseServer, dsn_of
from tests.tables.test_versions_migration import FILLED, _move

_WAITING, _TAKEN, _REFUSED, _NEXT = (f"00000000-0000-4000-8000-00000000000{at}" for at in range(4))
TERMS, BEFORE_TERMS = "0018", "0017"
_AGREED = f"""
INSERT INTO organization (id, kind, name_ja, created_at) VALUES ('271403', 'city', '試験', now());
INSERT INTO access_request (id, dataset_id, consumer_id, purpose, legal_basis, actions, columns,
    valid_from, valid_until, state, requested_by, requested_at, decided_by, decided_at)
SELECT id::uuid, 'parks', '271403', 'health', '条例', '{{read}}', '{{name,"区"}}',
    '2026-01-01Z', '2099-01-01Z', state, 'asker', '2026-01-01Z', by, at::timestamptz
FROM (VALUES ('{_WAITING}', 'requested', NULL, NULL), ('{_REFUSED}', 'rejected', 's', '2026-01-02Z'),
             ('{_TAKEN}', 'approved', 'steward', '2026-01-02Z')) AS told (id, state, by, at);
INSERT INTO agreement (id, request_id, dataset_id, provider_id, consumer_id, purpose, legal_basis,
    actions, columns, valid_from, valid_until, state, requested_by, approved_by, approved_at,
    state_changed_at, state_changed_by)
SELECT id, id, dataset_id, '271004', consumer_id, purpose, legal_basis, actions, columns, valid_from,
    valid_until, 'active', requested_by, decided_by, decided_at, decided_at, decided_by
FROM access_request WHERE state = 'approved';
"""
# What only the newer release has: an offer of the provider's, and a version of a series.
_NEWER = f"""
SET session_replication_role = replica;
UPDATE access_request SET state = 'countered' WHERE id = '{_WAITING}';
INSERT INTO access_request SELECT (jsonb_populate_record(r,
    jsonb_build_object('id', '{_NEXT}', 'amends', '{_TAKEN}'))).* FROM access_request r
    WHERE id = '{_TAKEN}';
UPDATE agreement SET state = 'superseded', superseded_by = '{_NEXT}' WHERE id = '{_TAKEN}';
INSERT INTO agreement SELECT (jsonb_populate_record(a, jsonb_build_object('id', '{_NEXT}',
    'request_id', '{_NEXT}', 'version', 2, 'state', 'active', 'superseded_by', NULL))).*
    FROM agreement a WHERE id = '{_TAKEN}';
SET session_replication_role = origin;
"""


async def _states(connection: "asyncpg.Connection[Any]", table: str) -> dict[str, str]:
    rows = await connection.fetch(f"SELECT id, state FROM {table}")
    return {str(row["id"]): row["state"] for row in rows}


async def test_agreements_of_before_have_terms_and_lose_nothing_on_the_way_down(
    embedded: DatabaseServer,
) -> None:
    name = f"m_{secrets.token_hex(5)}"
    url = await embedded.make_database(name)
    await asyncio.to_thread(_move, url, command.upgrade, "0015")
    connection = await asyncpg.connect(dsn_of(url))
    await connection.execute(FILLED + _AGREED)

    await asyncio.to_thread(_move, url, command.upgrade, "0016")
    row = await connection.fetchrow("SELECT * FROM agreement")
    agreement = SimpleNamespace(group_id=None, rows=None, per_day=None, **row)  # type: ignore[arg-type]
    offers = await connection.fetch("SELECT * FROM access_request_offer ORDER BY request_id")
    due = await connection.fetchval(
        "SELECT due_at > now() + interval '29 days' FROM access_request WHERE id = $1", _WAITING
    )
    await connection.execute(_NEWER)
    await asyncio.to_thread(_move, url, command.downgrade, "0015")
    requests_below = await _states(connection, "access_request")
    agreements_below = await _states(connection, "agreement")
    await asyncio.to_thread(_move, url, command.upgrade, "0016")
    again = [await _states(connection, table) for table in ("access_request", "agreement")]
    await connection.close()
    await embedded.drop_database(name)

    # The migration and the service write the same bytes.
    assert agreement.terms == _terms_of(cast(Agreement, agreement))
    assert agreement.terms_sha256 == sha256_of(agreement.terms)
    assert (agreement.series, agreement.version) == (agreement.id, 1)
    assert [(str(each["request_id"]), each["side"]) for each in offers] == [
        (each, "consumer") for each in (_WAITING, _TAKEN, _REFUSED)
    ]
    assert due
    assert requests_below == {
        _WAITING: "withdrawn",
        _TAKEN: "approved",
        _REFUSED: "rejected",
        _NEXT: "approved",
    }
    assert agreements_below == {_TAKEN: "revoked", _NEXT: "active"}
    assert again == [requests_below, agreements_below]


# What only a release with drafts, groups and conditions on rows has.
_BOUNDED = f"""
SET session_replication_role = replica;
INSERT INTO access_request SELECT (jsonb_populate_record(r, jsonb_build_object('id', '{_NEXT}',
    'state', 'draft', 'offer_number', 0, 'due_at', NULL))).* FROM access_request r
    WHERE id = '{_WAITING}';
UPDATE access_request SET per_day = 5 WHERE id = '{_WAITING}';
UPDATE agreement SET rows = 'name = 1' WHERE id = '{_TAKEN}';
SET session_replication_role = origin;
"""


async def test_what_the_former_release_would_read_as_more_ends_on_the_way_down(
    embedded: DatabaseServer,
) -> None:
    name = f"m_{secrets.token_hex(5)}"
    url = await embedded.make_database(name)
    await asyncio.to_thread(_move, url, command.upgrade, "0015")
    connection = await asyncpg.connect(dsn_of(url))
    await connection.execute(FILLED + _AGREED)

    await asyncio.to_thread(_move, url, command.upgrade, TERMS)
    vias = await connection.fetch(
        "SELECT offered_by, offered_via FROM access_request"
        " UNION SELECT made_by, made_via FROM access_request_offer"
    )
    await connection.execute(_BOUNDED)
    await asyncio.to_thread(_move, url, command.downgrade, BEFORE_TERMS)
    below = [await _states(connection, table) for table in ("access_request", "agreement")]
    with pytest.raises(asyncpg.CheckViolationError):
        await connection.execute("UPDATE agreement SET state = 'active'")
    await asyncio.to_thread(_move, url, command.upgrade, TERMS)
    again = [await _states(connection, table) for table in ("access_request", "agreement")]
    await connection.close()
    await embedded.drop_database(name)

    assert [tuple(each) for each in vias] == [("asker", "asker")]
    assert below == again == [
        {_WAITING: "withdrawn", _TAKEN: "approved", _REFUSED: "rejected"},
        {_TAKEN: "revoked"},
    ]  # fmt: skip
