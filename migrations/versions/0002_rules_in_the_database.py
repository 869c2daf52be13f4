"""rules in the database: change notices, the hash chain, legal transitions, the queue

What must hold whoever writes (a service, another replica, an operator with psql) stands here.
"""

from alembic import op
from pgqueuer.adapters.persistence.qb import QueryBuilderEnvironment

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None

# One row, bumped as the last act of each transaction that changes what a replica may remember.
# The row's lock makes the numbers rise in the order of commits.
EPOCH = """
CREATE TABLE epoch (
    id smallint PRIMARY KEY DEFAULT 1 CHECK (id = 1),
    value bigint NOT NULL
);
INSERT INTO epoch (value) VALUES (0);

CREATE FUNCTION tell_change() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
    changed jsonb := to_jsonb(coalesce(NEW, OLD));
    reached bigint;
BEGIN
    UPDATE epoch SET value = value + 1 RETURNING value INTO reached;
    PERFORM pg_notify(
        'urbanos', TG_ARGV[0] || ':' || coalesce(changed ->> TG_ARGV[1], '') || ':' || reached
    );
    RETURN NULL;
END $$;
"""

# (table, kind of thing that a replica remembers, column with its id)
TOLD = [
    ("dataset", "dataset", "id"),
    ("version", "dataset", "dataset_id"),
    ("agreement", "dataset", "dataset_id"),
    ("client", "client", "id"),
    ("organization", "all", "id"),
    ("purpose", "all", "code"),
    ("signing_key", "keys", "state"),
]

# An organisation's body is the first on the way up, by first parents, that is no unit or ward: 庁内
# is one body. Its line is itself and all above it, by both parents. UNION ends where a circle would.
BODIES = """
CREATE FUNCTION body_of(organization_id text) RETURNS text LANGUAGE sql STABLE AS $$
    WITH RECURSIVE up (id, parent_id, kind, depth) AS (
        SELECT id, parent_id, kind, 0 FROM organization WHERE id = organization_id
        UNION
        SELECT o.id, o.parent_id, o.kind, up.depth + 1
        FROM up JOIN organization o ON o.id = up.parent_id
        WHERE up.kind IN ('unit', 'ward') AND up.depth < 20
    )
    SELECT id FROM up ORDER BY depth DESC LIMIT 1
$$;

CREATE FUNCTION line_of(organization_id text) RETURNS text[] LANGUAGE sql STABLE AS $$
    WITH RECURSIVE line (id) AS (
        SELECT organization_id
        UNION
        SELECT p.id FROM line l JOIN organization o ON o.id = l.id
        CROSS JOIN LATERAL (VALUES (o.parent_id), (o.second_parent_id)) AS p (id)
        WHERE p.id IS NOT NULL
    )
    SELECT array_agg(id) FROM line
$$;
"""

LOG = """
INSERT INTO log_head (id, seq, hash) VALUES (1, 0, sha256('urbanos log 1'));

CREATE FUNCTION log_append(bodies text[]) RETURNS bigint LANGUAGE plpgsql AS $$
DECLARE
    head log_head;
    body text;
BEGIN
    SELECT * INTO head FROM log_head WHERE id = 1 FOR UPDATE;
    FOREACH body IN ARRAY bodies LOOP
        head.seq := head.seq + 1;
        head.hash := sha256(head.hash || convert_to(body, 'UTF8'));
        INSERT INTO log_entry (seq, body, hash) VALUES (head.seq, body, head.hash);
    END LOOP;
    UPDATE log_head SET seq = head.seq, hash = head.hash WHERE id = 1;
    RETURN head.seq;
END $$;

CREATE FUNCTION refuse_change() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION 'the log is only ever added to' USING ERRCODE = 'insufficient_privilege';
END $$;
CREATE TRIGGER log_entry_is_final BEFORE UPDATE OR DELETE OR TRUNCATE ON log_entry
    FOR EACH STATEMENT EXECUTE FUNCTION refuse_change();
CREATE TRIGGER log_head_stays BEFORE DELETE OR TRUNCATE ON log_head
    FOR EACH STATEMENT EXECUTE FUNCTION refuse_change();

CREATE INDEX ix_log_entry_dataset ON log_entry ((body::jsonb ->> 'dataset'), seq)
    WHERE body::jsonb ->> 'dataset' IS NOT NULL;
"""

TRANSITIONS = """
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

PURPOSES = """
INSERT INTO purpose (code, name_ja, name_en) VALUES
    ('own-duty', '所掌事務の遂行', 'the body''s own duties'),
    ('resident-information', '住民への情報提供', 'information for residents'),
    ('disaster-response', '災害対応', 'disaster response'),
    ('welfare', '福祉・見守り', 'welfare and care'),
    ('health', '保健・医療', 'health'),
    ('education', '教育・子育て', 'education and child-rearing'),
    ('facility-management', '施設・都市基盤の管理', 'management of facilities and infrastructure'),
    ('statistics', '統計・政策立案', 'statistics and policy-making'),
    ('system-operation', '情報システムの運用', 'operation of information systems');
"""


def execute(script: str) -> None:
    """Run a script of several statements, which a prepared statement cannot be."""
    connection = op.get_bind().connection.dbapi_connection
    connection.run_async(lambda driver: driver.execute(script))


def upgrade() -> None:
    op.execute("CREATE SCHEMA hosted")
    # Raw files do not compress well twice and are read in whole chunks.
    op.execute("ALTER TABLE upload_chunk ALTER COLUMN data SET STORAGE EXTERNAL")
    execute(EPOCH)
    execute(BODIES)
    for table, kind, column in TOLD:
        op.execute(
            f"CREATE CONSTRAINT TRIGGER {table}_tells AFTER INSERT OR UPDATE OR DELETE ON {table}"
            f" DEFERRABLE INITIALLY DEFERRED FOR EACH ROW"
            f" EXECUTE FUNCTION tell_change('{kind}', '{column}')"
        )
    execute(LOG)
    execute(TRANSITIONS)
    op.execute(PURPOSES)
    execute(QueryBuilderEnvironment().build_install_query())


def downgrade() -> None:
    execute(QueryBuilderEnvironment().build_uninstall_query())
    for table in ("agreement", "access_request"):
        op.execute(f"DROP TRIGGER {table}_transition ON {table}")
        op.execute(f"DROP FUNCTION check_{table}_transition")
    op.execute("DROP INDEX ix_log_entry_dataset")
    op.execute("DROP TRIGGER log_entry_is_final ON log_entry")
    op.execute("DROP TRIGGER log_head_stays ON log_head")
    op.execute("DROP FUNCTION refuse_change")
    op.execute("DROP FUNCTION log_append")
    op.execute("DELETE FROM log_head")
    for table, _, _ in TOLD:
        op.execute(f"DROP TRIGGER {table}_tells ON {table}")
    op.execute("DROP FUNCTION tell_change")
    op.execute("DROP FUNCTION body_of")
    op.execute("DROP FUNCTION line_of")
    op.execute("DROP TABLE epoch")
    op.execute("DROP SCHEMA hosted CASCADE")
