"""rows and calls a day in the terms, drafts, agreements of groups, persons who act through clients

Whom the terms bind is compared by who acted (`…_by`: a person where there is one); the client that
they acted through stands beside it (`…_via`).
"""

import importlib.util
from pathlib import Path
from types import ModuleType

import sqlalchemy as sa
from alembic import op

revision = "0018"
down_revision = "0017"
branch_labels = None
depends_on = None

_TABLES = ("access_request", "access_request_offer", "agreement")
_TERMS = (("rows", sa.Text()), ("per_day", sa.Integer()))

REQUESTS = """
CREATE OR REPLACE FUNCTION check_access_request_transition() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
    -- Whoever writes a time of the past is not earlier for it.
    at timestamptz := greatest(coalesce(NEW.decided_at, NEW.offered_at), now());
    is_open boolean := num_nonnulls(NEW.decided_by, NEW.decided_at) = 0;
    is_decided boolean := num_nonnulls(NEW.decided_by, NEW.decided_at) = 2;
    is_legal boolean;
BEGIN
    IF NEW.state = 'draft' THEN
        is_legal := OLD.state = 'draft' AND is_open AND NEW.offer_number = 0 AND NEW.due_at IS NULL;
    ELSIF OLD.state = 'draft' AND NEW.state = 'requested' THEN
        is_legal := is_open AND NEW.offer_number = 1 AND NEW.due_at > NEW.offered_at;
    ELSIF NEW.state IN ('requested', 'countered') THEN
        is_legal := OLD.state IN ('requested', 'countered') AND NEW.state <> OLD.state AND is_open
            AND NEW.offer_number = OLD.offer_number + 1
            AND NEW.offered_at >= OLD.offered_at AND NEW.due_at > NEW.offered_at;
    ELSE
        is_legal := is_decided
            AND (OLD.state IN ('requested', 'countered')
                     AND NEW.state IN ('approved', 'rejected', 'withdrawn')
                 OR OLD.state = 'draft' AND NEW.state = 'withdrawn')
            AND (NEW.state <> 'approved' OR NEW.decided_by <> NEW.offered_by)
            AND (NEW.purpose, NEW.legal_basis, NEW.actions, NEW.columns, NEW.rows, NEW.per_day,
                 NEW.valid_from, NEW.valid_until, NEW.reason, NEW.offer_number, NEW.offered_by,
                 NEW.offered_via, NEW.offered_at, NEW.due_at)
                IS NOT DISTINCT FROM
                (OLD.purpose, OLD.legal_basis, OLD.actions, OLD.columns, OLD.rows, OLD.per_day,
                 OLD.valid_from, OLD.valid_until, OLD.reason, OLD.offer_number, OLD.offered_by,
                 OLD.offered_via, OLD.offered_at, OLD.due_at);
    END IF;
    IF is_legal IS NOT TRUE OR at >= OLD.due_at
       OR (NEW.id, NEW.dataset_id, NEW.provider_id, NEW.consumer_id, NEW.group_id, NEW.amends,
           NEW.requested_by, NEW.requested_at)
          IS DISTINCT FROM
          (OLD.id, OLD.dataset_id, OLD.provider_id, OLD.consumer_id, OLD.group_id, OLD.amends,
           OLD.requested_by, OLD.requested_at) THEN
        RAISE EXCEPTION 'an access request cannot go from % to % so', OLD.state, NEW.state
            USING ERRCODE = 'check_violation';
    END IF;
    RETURN NEW;
END $$;

CREATE OR REPLACE FUNCTION check_access_request_begins() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
    is_legal boolean;
BEGIN
    is_legal := num_nonnulls(NEW.decided_by, NEW.decided_at) = 0 AND CASE NEW.state
        WHEN 'draft' THEN NEW.offer_number = 0 AND NEW.due_at IS NULL AND NEW.amends IS NULL
        WHEN 'requested' THEN NEW.offer_number = 1 AND NEW.due_at IS NOT NULL
        WHEN 'countered' THEN NEW.offer_number = 1 AND NEW.due_at IS NOT NULL
            AND NEW.amends IS NOT NULL
        END;
    IF is_legal IS NOT TRUE THEN
        RAISE EXCEPTION 'an access request cannot begin as %', NEW.state
            USING ERRCODE = 'check_violation';
    END IF;
    IF NEW.group_id IS NOT NULL AND NOT EXISTS (
        SELECT FROM tenant_group WHERE (id, operator_id) = (NEW.group_id, NEW.consumer_id)
    ) THEN
        RAISE EXCEPTION 'only the operator of a group asks for it' USING ERRCODE = 'check_violation';
    END IF;
    RETURN NEW;
END $$;

CREATE OR REPLACE FUNCTION check_access_request_offer() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF NOT EXISTS (
        SELECT FROM access_request r WHERE r.id = NEW.request_id
           AND r.state = CASE NEW.side WHEN 'consumer' THEN 'requested' WHEN 'provider' THEN 'countered' END
           AND (r.offer_number, r.offered_by, r.offered_via, r.offered_at, r.purpose, r.legal_basis,
                r.actions, r.columns, r.valid_from, r.valid_until)
             = (NEW.number, NEW.made_by, NEW.made_via, NEW.made_at, NEW.purpose, NEW.legal_basis,
                NEW.actions, NEW.columns, NEW.valid_from, NEW.valid_until)
           AND (r.reason, r.rows, r.per_day)
               IS NOT DISTINCT FROM (NEW.reason, NEW.rows, NEW.per_day)
    ) THEN
        RAISE EXCEPTION 'this is not the offer that the access request stands at'
            USING ERRCODE = 'check_violation';
    END IF;
    RETURN NEW;
END $$;

CREATE OR REPLACE FUNCTION require_access_request_offer() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    -- A draft has offered nothing yet, and one that was withdrawn never did.
    IF NEW.offer_number > 0 AND NOT EXISTS (
        SELECT FROM access_request_offer WHERE (request_id, number) = (NEW.id, NEW.offer_number)
    ) THEN
        RAISE EXCEPTION 'offer % of the access request was not kept', NEW.offer_number
            USING ERRCODE = 'check_violation';
    END IF;
    RETURN NULL;
END $$;
"""

AGREEMENTS = """
CREATE OR REPLACE FUNCTION check_agreement_transition() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF (OLD.state, NEW.state) NOT IN (('active', 'suspended'), ('active', 'revoked'),
                                      ('active', 'superseded'), ('suspended', 'active'),
                                      ('suspended', 'revoked'))
       OR (NEW.state = 'superseded') <> (NEW.superseded_by IS NOT NULL)
       OR greatest(NEW.state_changed_at, now()) >= OLD.valid_until
       OR NEW.state_changed_at < OLD.state_changed_at
       OR (NEW.id, NEW.request_id, NEW.dataset_id, NEW.provider_id, NEW.consumer_id, NEW.group_id,
           NEW.purpose, NEW.legal_basis, NEW.actions, NEW.columns, NEW.rows, NEW.per_day,
           NEW.valid_from, NEW.valid_until, NEW.requested_by, NEW.approved_by, NEW.approved_at,
           NEW.series, NEW.version, NEW.terms, NEW.terms_sha256)
          IS DISTINCT FROM
          (OLD.id, OLD.request_id, OLD.dataset_id, OLD.provider_id, OLD.consumer_id, OLD.group_id,
           OLD.purpose, OLD.legal_basis, OLD.actions, OLD.columns, OLD.rows, OLD.per_day,
           OLD.valid_from, OLD.valid_until, OLD.requested_by, OLD.approved_by, OLD.approved_at,
           OLD.series, OLD.version, OLD.terms, OLD.terms_sha256) THEN
        RAISE EXCEPTION 'an agreement cannot go from % to % so', OLD.state, NEW.state
            USING ERRCODE = 'check_violation';
    END IF;
    RETURN NEW;
END $$;

CREATE OR REPLACE FUNCTION check_agreement_begins() RETURNS trigger LANGUAGE plpgsql AS $$
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
        AND NEW.group_id IS NOT DISTINCT FROM asked.group_id
        -- Less may be granted than was asked, never more.
        AND NEW.columns <@ asked.columns
        AND (asked.rows IS NULL OR NEW.rows = asked.rows)
        AND (asked.per_day IS NULL OR NEW.per_day <= asked.per_day)
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
             NEW.version, to_jsonb(NEW.actions), to_jsonb(NEW.columns))
        AND (said ->> 'group', said ->> 'rows', (said ->> 'per_day')::int)
            IS NOT DISTINCT FROM (NEW.group_id, NEW.rows, NEW.per_day);
    IF asked.amends IS NULL THEN
        is_legal := is_legal AND (NEW.series, NEW.version) = (NEW.id, 1);
    ELSE
        SELECT * INTO before FROM agreement WHERE id = asked.amends;
        is_legal := is_legal AND before.state = 'superseded' AND before.superseded_by = NEW.id
            AND NEW.group_id IS NOT DISTINCT FROM before.group_id
            AND (NEW.series, NEW.version) = (before.series, before.version + 1);
    END IF;
    IF is_legal IS NOT TRUE THEN
        RAISE EXCEPTION 'the agreement is not what was asked, offered and approved'
            USING ERRCODE = 'check_violation';
    END IF;
    RETURN NEW;
END $$;
"""

GROUPS = """
CREATE FUNCTION check_agreement_exclusion() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF NOT EXISTS (SELECT FROM agreement WHERE (id, dataset_id) = (NEW.series, NEW.dataset_id)
                   AND group_id IS NOT NULL) THEN
        RAISE EXCEPTION 'only a member of a group can be left out of an agreement'
            USING ERRCODE = 'check_violation';
    END IF;
    RETURN NEW;
END $$;
CREATE TRIGGER agreement_exclusion_is_of_a_group BEFORE INSERT OR UPDATE ON agreement_exclusion
    FOR EACH ROW EXECUTE FUNCTION check_agreement_exclusion();
CREATE CONSTRAINT TRIGGER agreement_exclusion_tells
    AFTER INSERT OR UPDATE OR DELETE ON agreement_exclusion
    DEFERRABLE INITIALLY DEFERRED FOR EACH ROW
    EXECUTE FUNCTION tell_change('dataset', 'dataset_id');

-- Who joins or leaves a group changes who stands under each of its agreements.
CREATE FUNCTION tell_group_datasets() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
    of_group text := coalesce(NEW.group_id, OLD.group_id);
    told text;
    reached bigint;
BEGIN
    FOR told IN SELECT DISTINCT dataset_id FROM agreement WHERE group_id = of_group LOOP
        UPDATE epoch SET value = value + 1 RETURNING value INTO reached;
        PERFORM pg_notify('urbanos', 'dataset:' || told || ':' || reached);
    END LOOP;
    RETURN NULL;
END $$;
CREATE CONSTRAINT TRIGGER group_member_tells AFTER INSERT OR UPDATE OR DELETE ON group_member
    DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION tell_group_datasets();
"""

# What the former release would read as more than was agreed ends there, and stays ended.
ENDED = """
DELETE FROM access_request WHERE offer_number = 0;
UPDATE access_request SET state = 'withdrawn', decided_by = 'migration', decided_at = now(),
    decision_reason = '0018'
WHERE state IN ('requested', 'countered') AND num_nonnulls(rows, per_day, group_id) > 0;
UPDATE agreement SET state = 'revoked', state_reason = '0018'
WHERE state IN ('active', 'suspended') AND num_nonnulls(rows, per_day, group_id) > 0;
"""

_RULES = (
    "check_access_request_transition",
    "check_access_request_begins",
    "check_access_request_offer",
    "require_access_request_offer",
    "refuse_other_terms",
    "check_agreement_transition",
    "check_agreement_begins",
)


def execute(script: str) -> None:
    """Run a script of several statements, which a prepared statement cannot be."""
    connection = op.get_bind().connection.dbapi_connection
    connection.run_async(lambda driver: driver.execute(script))


def upgrade() -> None:
    op.execute("SET LOCAL lock_timeout = '5s'")
    # Change notices are given at once: a table with deferred ones waiting cannot be altered.
    op.execute("SET CONSTRAINTS ALL IMMEDIATE")
    _add_columns()
    _add_exclusions()
    execute(REQUESTS)
    execute(AGREEMENTS)
    execute(GROUPS)


def _add_columns() -> None:
    for table in _TABLES:
        for name, kind in _TERMS:
            op.add_column(table, sa.Column(name, kind))
        op.create_check_constraint(f"ck_{table}_per_day", table, "per_day >= 1")
    for table in ("access_request", "agreement"):
        op.add_column(table, sa.Column("group_id", sa.Text()))
        op.create_foreign_key(
            f"fk_{table}_group_id_tenant_group", table, "tenant_group", ["group_id"], ["id"]
        )
        op.create_index(f"ix_{table}_group_id", table, ["group_id"])
    for table, by, via in (
        ("access_request", "offered_by", "offered_via"),
        ("access_request_offer", "made_by", "made_via"),
    ):
        op.add_column(table, sa.Column(via, sa.Text()))
        op.execute(f"ALTER TABLE {table} DISABLE TRIGGER USER")
        op.execute(f"UPDATE {table} SET {via} = {by}")
        op.execute(f"ALTER TABLE {table} ENABLE TRIGGER USER")
        op.alter_column(table, via, nullable=False)
    op.alter_column("access_request", "due_at", nullable=True)


def _add_exclusions() -> None:
    op.create_table(
        "agreement_exclusion",
        sa.Column("series", sa.Uuid(), nullable=False),
        sa.Column("organization_id", sa.Text(), nullable=False),
        sa.Column("dataset_id", sa.Text(), nullable=False),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.Column("excluded_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("excluded_by", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("series", "organization_id", name="pk_agreement_exclusion"),
        sa.ForeignKeyConstraint(
            ["series"], ["agreement.id"], name="fk_agreement_exclusion_series_agreement"
        ),
        sa.ForeignKeyConstraint(
            ["organization_id"], ["organization.id"],
            name="fk_agreement_exclusion_organization_id_organization",
        ),
    )  # fmt: skip


def downgrade() -> None:
    op.execute("SET LOCAL lock_timeout = '5s'")
    op.execute("SET CONSTRAINTS ALL IMMEDIATE")
    for name in _RULES:
        op.execute(f"DROP FUNCTION {name} CASCADE")
    execute(ENDED)
    op.drop_table("agreement_exclusion")
    op.execute("DROP FUNCTION check_agreement_exclusion")
    op.execute("DROP FUNCTION tell_group_datasets CASCADE")
    for table in ("access_request", "agreement"):
        op.drop_column(table, "group_id")
    for table in _TABLES:
        for name, _ in _TERMS:
            op.drop_column(table, name)
    op.drop_column("access_request", "offered_via")
    op.drop_column("access_request_offer", "made_via")
    op.alter_column("access_request", "due_at", nullable=False)
    former = _former()
    execute(former.REQUESTS)
    execute(former.AGREEMENTS)


def _former() -> ModuleType:
    """The migration whose rules were in force before: a name that begins with digits."""
    path = Path(__file__).with_name("0016_agreement_lifecycle.py")
    spec = importlib.util.spec_from_file_location("former_rules", path)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module
