"""the life cycle of agreements: offers, deadlines, versions, terms with their hash, notices

What no service may do is refused here too: an answer out of turn or too late, one person on both
sides, other terms under the same hash, two versions of a series in force.
"""

import hashlib
import json
from datetime import UTC, datetime

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects.postgresql import ARRAY

revision = "0016"
down_revision = "0015"
branch_labels = None
depends_on = None

# Requests that wait while this migration runs get as long as new ones: nobody was told before.
FIRST_OFFERS = """
UPDATE access_request r SET
    provider_id = d.publisher_id, offer_number = 1,
    offered_by = r.requested_by, offered_at = r.requested_at,
    due_at = CASE r.state WHEN 'requested' THEN now() ELSE r.requested_at END + interval '30 days'
FROM dataset d WHERE d.id = r.dataset_id;
INSERT INTO access_request_offer
SELECT id, 1, 'consumer', purpose, legal_basis, actions, columns, valid_from, valid_until, reason,
       requested_by, requested_at
FROM access_request;
"""

REQUESTS = """
CREATE FUNCTION check_access_request_transition() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
    -- Whoever writes a time of the past is not earlier for it.
    at timestamptz := greatest(coalesce(NEW.decided_at, NEW.offered_at), now());
    is_legal boolean;
BEGIN
    IF NEW.state IN ('requested', 'countered') THEN
        is_legal := OLD.state IN ('requested', 'countered') AND NEW.state <> OLD.state
            AND NEW.offer_number = OLD.offer_number + 1
            AND NEW.offered_at >= OLD.offered_at AND NEW.due_at > NEW.offered_at
            AND num_nonnulls(NEW.decided_by, NEW.decided_at) = 0;
    ELSE
        is_legal := OLD.state IN ('requested', 'countered')
            AND NEW.state IN ('approved', 'rejected', 'withdrawn')
            AND num_nonnulls(NEW.decided_by, NEW.decided_at) = 2
            AND (NEW.state <> 'approved' OR NEW.decided_by <> NEW.offered_by)
            AND (NEW.purpose, NEW.legal_basis, NEW.actions, NEW.columns, NEW.valid_from,
                 NEW.valid_until, NEW.reason, NEW.offer_number, NEW.offered_by, NEW.offered_at,
                 NEW.due_at)
                IS NOT DISTINCT FROM
                (OLD.purpose, OLD.legal_basis, OLD.actions, OLD.columns, OLD.valid_from,
                 OLD.valid_until, OLD.reason, OLD.offer_number, OLD.offered_by, OLD.offered_at,
                 OLD.due_at);
    END IF;
    IF is_legal IS NOT TRUE OR at >= OLD.due_at
       OR (NEW.id, NEW.dataset_id, NEW.provider_id, NEW.consumer_id, NEW.amends, NEW.requested_by,
           NEW.requested_at)
          IS DISTINCT FROM
          (OLD.id, OLD.dataset_id, OLD.provider_id, OLD.consumer_id, OLD.amends, OLD.requested_by,
           OLD.requested_at) THEN
        RAISE EXCEPTION 'an access request cannot go from % to % so', OLD.state, NEW.state
            USING ERRCODE = 'check_violation';
    END IF;
    RETURN NEW;
END $$;
CREATE TRIGGER access_request_transition BEFORE UPDATE ON access_request
    FOR EACH ROW EXECUTE FUNCTION check_access_request_transition();

CREATE FUNCTION check_access_request_begins() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF NEW.offer_number <> 1 OR num_nonnulls(NEW.decided_by, NEW.decided_at) > 0
       OR (NEW.state <> 'requested' AND (NEW.state <> 'countered' OR NEW.amends IS NULL)) THEN
        RAISE EXCEPTION 'an access request cannot begin as %', NEW.state
            USING ERRCODE = 'check_violation';
    END IF;
    RETURN NEW;
END $$;
CREATE TRIGGER access_request_begins BEFORE INSERT ON access_request
    FOR EACH ROW EXECUTE FUNCTION check_access_request_begins();

CREATE FUNCTION check_access_request_offer() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF NOT EXISTS (
        SELECT FROM access_request r WHERE r.id = NEW.request_id
           AND r.state = CASE NEW.side WHEN 'consumer' THEN 'requested' WHEN 'provider' THEN 'countered' END
           AND (r.offer_number, r.offered_by, r.offered_at, r.purpose, r.legal_basis, r.actions,
                r.columns, r.valid_from, r.valid_until)
             = (NEW.number, NEW.made_by, NEW.made_at, NEW.purpose, NEW.legal_basis, NEW.actions,
                NEW.columns, NEW.valid_from, NEW.valid_until)
           AND r.reason IS NOT DISTINCT FROM NEW.reason
    ) THEN
        RAISE EXCEPTION 'this is not the offer that the access request stands at'
            USING ERRCODE = 'check_violation';
    END IF;
    RETURN NEW;
END $$;
CREATE TRIGGER access_request_offer_is_current BEFORE INSERT ON access_request_offer
    FOR EACH ROW EXECUTE FUNCTION check_access_request_offer();

CREATE FUNCTION require_access_request_offer() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF NOT EXISTS (SELECT FROM access_request_offer
                   WHERE (request_id, number) = (NEW.id, NEW.offer_number)) THEN
        RAISE EXCEPTION 'offer % of the access request was not kept', NEW.offer_number
            USING ERRCODE = 'check_violation';
    END IF;
    RETURN NULL;
END $$;
CREATE CONSTRAINT TRIGGER access_request_has_offer AFTER INSERT OR UPDATE ON access_request
    DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION require_access_request_offer();

CREATE FUNCTION refuse_other_terms() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION 'what was offered or said stays as it is' USING ERRCODE = 'check_violation';
END $$;
CREATE TRIGGER access_request_offer_is_final
    BEFORE UPDATE OR DELETE OR TRUNCATE ON access_request_offer
    FOR EACH STATEMENT EXECUTE FUNCTION refuse_other_terms();
CREATE TRIGGER agreement_notice_is_final BEFORE UPDATE OR DELETE OR TRUNCATE ON agreement_notice
    FOR EACH STATEMENT EXECUTE FUNCTION refuse_other_terms();
"""

AGREEMENTS = """
CREATE FUNCTION check_agreement_transition() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF (OLD.state, NEW.state) NOT IN (('active', 'suspended'), ('active', 'revoked'),
                                      ('active', 'superseded'), ('suspended', 'active'),
                                      ('suspended', 'revoked'))
       OR (NEW.state = 'superseded') <> (NEW.superseded_by IS NOT NULL)
       OR greatest(NEW.state_changed_at, now()) >= OLD.valid_until
       OR NEW.state_changed_at < OLD.state_changed_at
       OR (NEW.id, NEW.request_id, NEW.dataset_id, NEW.provider_id, NEW.consumer_id, NEW.purpose,
           NEW.legal_basis, NEW.actions, NEW.columns, NEW.valid_from, NEW.valid_until,
           NEW.requested_by, NEW.approved_by, NEW.approved_at, NEW.series, NEW.version, NEW.terms,
           NEW.terms_sha256)
          IS DISTINCT FROM
          (OLD.id, OLD.request_id, OLD.dataset_id, OLD.provider_id, OLD.consumer_id, OLD.purpose,
           OLD.legal_basis, OLD.actions, OLD.columns, OLD.valid_from, OLD.valid_until,
           OLD.requested_by, OLD.approved_by, OLD.approved_at, OLD.series, OLD.version, OLD.terms,
           OLD.terms_sha256) THEN
        RAISE EXCEPTION 'an agreement cannot go from % to % so', OLD.state, NEW.state
            USING ERRCODE = 'check_violation';
    END IF;
    RETURN NEW;
END $$;
CREATE TRIGGER agreement_transition BEFORE UPDATE ON agreement
    FOR EACH ROW EXECUTE FUNCTION check_agreement_transition();

-- An agreement is what its approved request says, made by the two who offered and took it.
CREATE FUNCTION check_agreement_begins() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
    asked access_request;
    before agreement;
    said jsonb := NEW.terms::jsonb;
    offered_side text;
    is_legal boolean;
BEGIN
    SELECT * INTO asked FROM access_request WHERE id = NEW.request_id;
    SELECT side INTO offered_side FROM access_request_offer
        WHERE (request_id, number) = (asked.id, asked.offer_number);
    is_legal := asked.state = 'approved' AND NEW.state = 'active' AND NEW.superseded_by IS NULL
        AND (NEW.dataset_id, NEW.consumer_id, NEW.purpose, NEW.legal_basis, NEW.actions)
          = (asked.dataset_id, asked.consumer_id, asked.purpose, asked.legal_basis, asked.actions)
        AND NEW.columns <@ asked.columns
        AND NEW.valid_from >= asked.valid_from AND NEW.valid_until <= asked.valid_until
        AND CASE offered_side WHEN 'consumer'
            THEN (NEW.requested_by, NEW.approved_by) = (asked.offered_by, asked.decided_by)
            ELSE (NEW.requested_by, NEW.approved_by) = (asked.decided_by, asked.offered_by) END
        AND (said ->> 'dataset', said ->> 'provider', said ->> 'consumer', said ->> 'purpose',
             said ->> 'legal_basis', said ->> 'requested_by', said ->> 'approved_by',
             (said ->> 'valid_from')::timestamptz, (said ->> 'valid_until')::timestamptz,
             (said ->> 'series')::uuid, (said ->> 'version')::int, said -> 'actions',
             said -> 'columns')
          = (NEW.dataset_id, NEW.provider_id, NEW.consumer_id, NEW.purpose, NEW.legal_basis,
             NEW.requested_by, NEW.approved_by, NEW.valid_from, NEW.valid_until, NEW.series,
             NEW.version, to_jsonb(NEW.actions), to_jsonb(NEW.columns));
    IF asked.amends IS NULL THEN
        is_legal := is_legal AND (NEW.series, NEW.version) = (NEW.id, 1);
    ELSE
        SELECT * INTO before FROM agreement WHERE id = asked.amends;
        is_legal := is_legal AND before.state = 'superseded' AND before.superseded_by = NEW.id
            AND (NEW.series, NEW.version) = (before.series, before.version + 1);
    END IF;
    IF is_legal IS NOT TRUE THEN
        RAISE EXCEPTION 'the agreement is not what was asked, offered and approved'
            USING ERRCODE = 'check_violation';
    END IF;
    RETURN NEW;
END $$;
CREATE TRIGGER agreement_begins BEFORE INSERT ON agreement
    FOR EACH ROW EXECUTE FUNCTION check_agreement_begins();
"""

# The rules of revision 0002, for the way down.
FORMER = """
CREATE FUNCTION check_access_request_transition() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF OLD.state <> 'requested' OR NEW.state NOT IN ('approved', 'rejected', 'withdrawn')
       OR (NEW.dataset_id, NEW.consumer_id, NEW.purpose, NEW.legal_basis, NEW.actions, NEW.columns,
           NEW.valid_from, NEW.valid_until, NEW.requested_by)
          IS DISTINCT FROM
          (OLD.dataset_id, OLD.consumer_id, OLD.purpose, OLD.legal_basis, OLD.actions, OLD.columns,
           OLD.valid_from, OLD.valid_until, OLD.requested_by) THEN
        RAISE EXCEPTION 'an access request cannot go from % to %', OLD.state, NEW.state
            USING ERRCODE = 'check_violation';
    END IF;
    RETURN NEW;
END $$;
CREATE TRIGGER access_request_transition BEFORE UPDATE ON access_request
    FOR EACH ROW EXECUTE FUNCTION check_access_request_transition();

CREATE FUNCTION check_agreement_transition() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF (OLD.state, NEW.state) NOT IN (('active', 'suspended'), ('active', 'revoked'),
                                      ('suspended', 'active'), ('suspended', 'revoked'))
       OR (NEW.request_id, NEW.dataset_id, NEW.provider_id, NEW.consumer_id, NEW.purpose,
           NEW.legal_basis, NEW.actions, NEW.columns, NEW.valid_from, NEW.valid_until,
           NEW.requested_by, NEW.approved_by)
          IS DISTINCT FROM
          (OLD.request_id, OLD.dataset_id, OLD.provider_id, OLD.consumer_id, OLD.purpose,
           OLD.legal_basis, OLD.actions, OLD.columns, OLD.valid_from, OLD.valid_until,
           OLD.requested_by, OLD.approved_by) THEN
        RAISE EXCEPTION 'an agreement cannot go from % to %', OLD.state, NEW.state
            USING ERRCODE = 'check_violation';
    END IF;
    RETURN NEW;
END $$;
CREATE TRIGGER agreement_transition BEFORE UPDATE ON agreement
    FOR EACH ROW EXECUTE FUNCTION check_agreement_transition();
"""

# What the former release does not know ends there, and never comes alive again.
ENDED = """
UPDATE access_request SET state = 'withdrawn', decided_by = 'migration', decided_at = now(),
    decision_reason = '0016'
WHERE state = 'countered' OR (state = 'requested' AND (amends IS NOT NULL OR due_at <= now()));
UPDATE agreement SET state = 'revoked', state_reason = 'superseded by ' || superseded_by
WHERE state = 'superseded';
"""


def execute(script: str) -> None:
    """Run a script of several statements, which a prepared statement cannot be."""
    connection = op.get_bind().connection.dbapi_connection
    connection.run_async(lambda driver: driver.execute(script))


def upgrade() -> None:
    op.execute("SET LOCAL lock_timeout = '5s'")
    _drop_transitions()
    _add_columns()
    _add_tables()
    # Change notices are given at once: a table with deferred ones waiting cannot be altered.
    op.execute("SET CONSTRAINTS ALL IMMEDIATE")
    execute(FIRST_OFFERS)
    _write_terms()
    _require()
    execute(REQUESTS)
    execute(AGREEMENTS)


def _drop_transitions() -> None:
    for table in ("agreement", "access_request"):
        op.execute(f"DROP TRIGGER {table}_transition ON {table}")
        op.execute(f"DROP FUNCTION check_{table}_transition")


def _add_columns() -> None:
    for name, kind in (
        ("provider_id", sa.Text()),
        ("amends", sa.Uuid()),
        ("offer_number", sa.Integer()),
        ("offered_by", sa.Text()),
        ("offered_at", sa.DateTime(timezone=True)),
        ("due_at", sa.DateTime(timezone=True)),
    ):
        op.add_column("access_request", sa.Column(name, kind))
    for name, kind in (
        ("series", sa.Uuid()),
        ("version", sa.Integer()),
        ("superseded_by", sa.Uuid()),
        ("terms", sa.Text()),
        ("terms_sha256", sa.Text()),
    ):
        op.add_column("agreement", sa.Column(name, kind))


def _add_tables() -> None:
    op.create_table(
        "access_request_offer",
        sa.Column("request_id", sa.Uuid(), nullable=False),
        sa.Column("number", sa.Integer(), nullable=False),
        sa.Column("side", sa.Text(), nullable=False),
        sa.Column("purpose", sa.Text(), nullable=False),
        sa.Column("legal_basis", sa.Text(), nullable=False),
        sa.Column("actions", ARRAY(sa.Text()), nullable=False),
        sa.Column("columns", ARRAY(sa.Text()), nullable=False),
        sa.Column("valid_from", sa.DateTime(timezone=True), nullable=False),
        sa.Column("valid_until", sa.DateTime(timezone=True), nullable=False),
        sa.Column("reason", sa.Text()),
        sa.Column("made_by", sa.Text(), nullable=False),
        sa.Column("made_at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("request_id", "number", name="pk_access_request_offer"),
        sa.ForeignKeyConstraint(
            ["request_id"], ["access_request.id"],
            name="fk_access_request_offer_request_id_access_request",
        ),
    )  # fmt: skip
    op.create_table(
        "agreement_notice",
        sa.Column("agreement_id", sa.Uuid(), nullable=False),
        sa.Column("days", sa.Integer(), nullable=False),
        sa.Column("made_at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("agreement_id", "days", name="pk_agreement_notice"),
        sa.ForeignKeyConstraint(
            ["agreement_id"], ["agreement.id"], name="fk_agreement_notice_agreement_id_agreement"
        ),
    )


def _write_terms() -> None:
    """Agreements of before are the first versions of their series; their terms are written down."""
    bind = op.get_bind()
    written = sa.text(
        "UPDATE agreement SET series = id, version = 1, terms = :terms, terms_sha256 = :sha256"
        " WHERE id = :id"
    )
    for row in bind.execute(sa.text("SELECT * FROM agreement")).mappings().all():
        told = json.dumps(_terms(row), ensure_ascii=False, separators=(",", ":"), sort_keys=True)
        sha256 = hashlib.sha256(told.encode()).hexdigest()
        bind.execute(written, {"id": row["id"], "terms": told, "sha256": sha256})


def _terms(row: sa.RowMapping) -> dict[str, object]:
    return {
        "actions": row["actions"],
        "approved_by": row["approved_by"],
        "columns": row["columns"],
        "consumer": row["consumer_id"],
        "dataset": row["dataset_id"],
        "legal_basis": row["legal_basis"],
        "provider": row["provider_id"],
        "purpose": row["purpose"],
        "request": str(row["request_id"]),
        "requested_by": row["requested_by"],
        "series": str(row["id"]),
        "valid_from": _utc(row["valid_from"]),
        "valid_until": _utc(row["valid_until"]),
        "version": 1,
    }


def _utc(time: datetime) -> str:
    return time.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")


def _require() -> None:
    for name in ("provider_id", "offer_number", "offered_by", "offered_at", "due_at"):
        op.alter_column("access_request", name, nullable=False)
    for name in ("series", "version", "terms", "terms_sha256"):
        op.alter_column("agreement", name, nullable=False)
    op.create_foreign_key(
        "fk_access_request_provider_id_organization",
        "access_request", "organization", ["provider_id"], ["id"],
    )  # fmt: skip
    op.create_foreign_key(
        "fk_access_request_amends_agreement", "access_request", "agreement", ["amends"], ["id"]
    )
    op.create_foreign_key(
        "fk_agreement_superseded_by_agreement", "agreement", "agreement", ["superseded_by"], ["id"],
        deferrable=True, initially="DEFERRED",
    )  # fmt: skip
    op.create_check_constraint(
        "ck_agreement_terms_hash",
        "agreement",
        "terms_sha256 = encode(sha256(convert_to(terms, 'UTF8')), 'hex')",
    )
    op.create_unique_constraint("uq_agreement_series", "agreement", ["series", "version"])
    op.create_index(
        "uq_agreement_series_in_force", "agreement", ["series"], unique=True,
        postgresql_where=sa.text("state IN ('active', 'suspended')"),
    )  # fmt: skip


def downgrade() -> None:
    op.execute("SET LOCAL lock_timeout = '5s'")
    op.execute("SET CONSTRAINTS ALL IMMEDIATE")
    _drop_transitions()
    op.execute("DROP TRIGGER agreement_begins ON agreement")
    op.execute("DROP TRIGGER access_request_begins ON access_request")
    op.execute("DROP TRIGGER access_request_has_offer ON access_request")
    execute(ENDED)
    op.drop_table("agreement_notice")
    op.drop_table("access_request_offer")
    for name in (
        "check_agreement_begins",
        "check_access_request_begins",
        "check_access_request_offer",
        "require_access_request_offer",
        "refuse_other_terms",
    ):
        op.execute(f"DROP FUNCTION {name}")
    for name in ("provider_id", "amends", "offer_number", "offered_by", "offered_at", "due_at"):
        op.drop_column("access_request", name)
    for name in ("series", "version", "superseded_by", "terms", "terms_sha256"):
        op.drop_column("agreement", name)
    execute(FORMER)
