"""versions: kept, compared, gone back to; the change feed"""

from alembic import op
import sqlalchemy as sa
from sqlalchemy.dialects import postgresql

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None

# A version only ever moves on, and what it was made of never changes. What readers got never does.
RULES = """
CREATE FUNCTION check_version_transition() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF (NEW.state <> OLD.state AND (OLD.state, NEW.state) NOT IN (('loaded', 'published'),
            ('loaded', 'dropped'), ('published', 'dropped')))
       OR (NEW.state = 'dropped' AND EXISTS (SELECT FROM dataset d
            WHERE d.id = NEW.dataset_id AND d.current_version = NEW.number)) THEN
        RAISE EXCEPTION 'version % cannot go from % to %', NEW.number, OLD.state, NEW.state
            USING ERRCODE = 'check_violation';
    END IF;
    IF (NEW.dataset_id, NEW.number, NEW.table_name, NEW.fields, NEW.source_sha256, NEW.run_id,
        NEW.created_at)
       IS DISTINCT FROM
       (OLD.dataset_id, OLD.number, OLD.table_name, OLD.fields, OLD.source_sha256, OLD.run_id,
        OLD.created_at)
       OR NEW.revision < OLD.revision
       OR (OLD.state = 'dropped' AND NEW.row_count <> OLD.row_count) THEN
        RAISE EXCEPTION 'version % never changes', OLD.number USING ERRCODE = 'check_violation';
    END IF;
    RETURN NEW;
END $$;
CREATE TRIGGER version_transition BEFORE UPDATE ON version
    FOR EACH ROW EXECUTE FUNCTION check_version_transition();

CREATE FUNCTION check_current_version() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF EXISTS (SELECT FROM version v WHERE v.dataset_id = NEW.id
               AND v.number = NEW.current_version AND v.state = 'dropped') THEN
        RAISE EXCEPTION 'version % was dropped', NEW.current_version
            USING ERRCODE = 'check_violation';
    END IF;
    RETURN NEW;
END $$;
CREATE TRIGGER dataset_current_version BEFORE UPDATE OF current_version ON dataset
    FOR EACH ROW EXECUTE FUNCTION check_current_version();

CREATE FUNCTION check_edition_change() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF TG_OP = 'DELETE' OR NEW.differences IS NOT NULL
       OR (NEW.dataset_id, NEW.number, NEW.version_number, NEW.revision, NEW.row_count,
           NEW.began_at)
          IS DISTINCT FROM
          (OLD.dataset_id, OLD.number, OLD.version_number, OLD.revision, OLD.row_count,
           OLD.began_at) THEN
        RAISE EXCEPTION 'what readers got does not change' USING ERRCODE = 'check_violation';
    END IF;
    RETURN NEW;
END $$;
CREATE TRIGGER edition_is_final BEFORE UPDATE OR DELETE ON edition
    FOR EACH ROW EXECUTE FUNCTION check_edition_change();
"""

# What readers get now is known; since when, only as far back as nothing of it changed.
FIRST_EDITIONS = """
INSERT INTO edition (dataset_id, number, version_number, revision, row_count, began_at)
SELECT d.id, 1, v.number, v.revision, v.row_count, greatest(d.modified_at, v.changed_at)
FROM dataset d JOIN version v ON v.dataset_id = d.id AND v.number = d.current_version
"""

# The feed reads a batch by the rows that begin or end with it.
INDEXES = """
DO $$
DECLARE
    named text;
BEGIN
    FOR named IN SELECT table_name FROM version LOOP
        EXECUTE format('CREATE INDEX IF NOT EXISTS %I ON hosted.%I (_since, _row)'
                       ' WHERE _since > 0', named || '_since', named);
        EXECUTE format('CREATE INDEX IF NOT EXISTS %I ON hosted.%I (_until, _row)'
                       ' WHERE _until IS NOT NULL', named || '_until', named);
    END LOOP;
END $$
"""

DROP_DERIVED = """
DO $$
DECLARE
    named text;
BEGIN
    FOR named IN SELECT differences FROM edition WHERE differences IS NOT NULL LOOP
        EXECUTE format('DROP TABLE hosted.%I', named);
    END LOOP;
    FOR named IN SELECT table_name FROM version WHERE state <> 'dropped' LOOP
        EXECUTE format('DROP INDEX IF EXISTS hosted.%I', named || '_since');
        EXECUTE format('DROP INDEX IF EXISTS hosted.%I', named || '_until');
    END LOOP;
END $$
"""


def execute(script: str) -> None:
    """Run a script of several statements, which a prepared statement cannot be."""
    connection = op.get_bind().connection.dbapi_connection
    connection.run_async(lambda driver: driver.execute(script))


def upgrade() -> None:
    op.add_column("dataset", sa.Column("retention", postgresql.JSONB(none_as_null=True), nullable=True))
    op.add_column("version", sa.Column("dropped_at", sa.DateTime(timezone=True), nullable=True))
    op.create_table(
        "edition",
        sa.Column("dataset_id", sa.Text(), nullable=False),
        sa.Column("number", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("version_number", sa.Integer(), nullable=False),
        sa.Column("revision", sa.BigInteger(), nullable=False),
        sa.Column("row_count", sa.BigInteger(), nullable=False),
        sa.Column("began_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("differences", sa.Text(), nullable=True),
        sa.ForeignKeyConstraint(
            ["dataset_id", "version_number"], ["version.dataset_id", "version.number"],
            name="fk_edition_dataset_id_version",
        ),
        sa.PrimaryKeyConstraint("dataset_id", "number", name="pk_edition"),
        sa.UniqueConstraint("differences", name="uq_edition_differences"),
    )
    op.create_index("ix_edition_began", "edition", ["dataset_id", "began_at", "number"])
    op.create_index("ix_edition_version", "edition", ["dataset_id", "version_number", "revision"])
    op.create_table(
        "version_pin",
        sa.Column("dataset_id", sa.Text(), nullable=False),
        sa.Column("number", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("pinned_at", sa.DateTime(timezone=True), nullable=False),
        sa.ForeignKeyConstraint(
            ["dataset_id", "number"], ["version.dataset_id", "version.number"],
            name="fk_version_pin_dataset_id_version",
        ),
        sa.PrimaryKeyConstraint("dataset_id", "number", name="pk_version_pin"),
    )
    op.execute(FIRST_EDITIONS)
    op.execute(INDEXES)
    execute(RULES)


def downgrade() -> None:
    op.execute(DROP_DERIVED)
    op.execute("DROP TRIGGER edition_is_final ON edition")
    op.execute("DROP FUNCTION check_edition_change")
    op.execute("DROP TRIGGER dataset_current_version ON dataset")
    op.execute("DROP FUNCTION check_current_version")
    op.execute("DROP TRIGGER version_transition ON version")
    op.execute("DROP FUNCTION check_version_transition")
    op.drop_table("version_pin")
    op.drop_table("edition")
    op.drop_column("version", "dropped_at")
    op.drop_column("dataset", "retention")
