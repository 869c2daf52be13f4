"""how long entries of the log are kept, and how many were let go from its beginning

Nothing but the whole beginning of the log can be let go: the row that says how far moves only as
its trigger allows, and an entry can be deleted only behind it.
"""

import sqlalchemy as sa
from alembic import op

revision = "0031"
down_revision = "0030"
branch_labels = None
depends_on = None

# Each entry that goes is chained anew to the last that went before, stands in the tree, which a
# signed checkpoint goes beyond, and is older than the period. The one that stays last in the tree
# is needed to grow it.
MOVES = """
CREATE FUNCTION check_log_retention() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
    entry log_entry;
    chained bytea := OLD.hash;
    expected bigint := OLD.dropped;
    tile bytea;
    oldest timestamptz := now() - make_interval(days => OLD.keep_days);
BEGIN
    IF (NEW.dropped, NEW.hash) IS NOT DISTINCT FROM (OLD.dropped, OLD.hash) THEN
        RETURN NEW;
    END IF;
    IF NEW.dropped > OLD.dropped AND NEW.keep_days = OLD.keep_days
       AND NEW.dropped < (SELECT max(size) FROM log_checkpoint) THEN
        FOR entry IN
            SELECT * FROM log_entry WHERE seq > OLD.dropped AND seq <= NEW.dropped ORDER BY seq
        LOOP
            IF expected % 256 = 0 OR tile IS NULL THEN
                SELECT hashes INTO tile FROM log_tile WHERE level = 0 AND number = expected / 256;
            END IF;
            chained := sha256(chained || convert_to(entry.body, 'UTF8'));
            EXIT WHEN entry.seq <> expected + 1 OR entry.hash <> chained
                OR substr(tile, (expected % 256)::integer * 32 + 1, 32)
                   IS DISTINCT FROM sha256('\\x00'::bytea || chained)
                OR (entry.body::jsonb ->> 'at')::timestamptz IS NULL
                OR (entry.body::jsonb ->> 'at')::timestamptz >= oldest;
            expected := expected + 1;
        END LOOP;
    END IF;
    IF (expected, chained) IS DISTINCT FROM (NEW.dropped, NEW.hash) OR expected = OLD.dropped THEN
        RAISE EXCEPTION 'of the log only proven entries older than its period can be let go'
            USING ERRCODE = 'insufficient_privilege';
    END IF;
    RETURN NEW;
END $$;
"""
GOES = """
CREATE FUNCTION refuse_other_deletion() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF EXISTS (SELECT FROM gone WHERE seq > (SELECT dropped FROM log_retention)) THEN
        RAISE EXCEPTION 'the log is only ever added to' USING ERRCODE = 'insufficient_privilege';
    END IF;
    RETURN NULL;
END $$;
"""
STILL_HERE = """
DO $$ BEGIN
    IF (SELECT dropped FROM log_retention) > 0 THEN
        RAISE EXCEPTION 'entries of the log were let go: the release before cannot verify it';
    END IF;
END $$
"""


def upgrade() -> None:
    op.execute("SET LOCAL lock_timeout = '5s'")
    op.create_table(
        "log_retention",
        sa.Column("id", sa.SmallInteger(), nullable=False),
        sa.Column("keep_days", sa.Integer()),
        sa.Column("dropped", sa.BigInteger(), nullable=False),
        sa.Column("hash", sa.LargeBinary(), nullable=False),
        sa.Column("dropped_at", sa.DateTime(timezone=True)),
        sa.PrimaryKeyConstraint("id", name="pk_log_retention"),
        sa.CheckConstraint("id = 1", name="ck_log_retention_one_row"),
        sa.CheckConstraint("keep_days BETWEEN 365 AND 36500", name="ck_log_retention_a_year"),
    )
    op.execute(
        "INSERT INTO log_retention (id, dropped, hash) VALUES (1, 0, sha256('urbanos log 1'))"
    )
    op.execute(MOVES)
    op.execute(GOES)
    op.execute(
        "CREATE TRIGGER log_retention_moves BEFORE UPDATE ON log_retention"
        " FOR EACH ROW EXECUTE FUNCTION check_log_retention()"
    )
    op.execute(
        "CREATE TRIGGER log_retention_stays BEFORE DELETE OR TRUNCATE ON log_retention"
        " FOR EACH STATEMENT EXECUTE FUNCTION refuse_change()"
    )
    op.execute("DROP TRIGGER log_entry_is_final ON log_entry")
    op.execute(
        "CREATE TRIGGER log_entry_is_final BEFORE UPDATE OR TRUNCATE ON log_entry"
        " FOR EACH STATEMENT EXECUTE FUNCTION refuse_change()"
    )
    op.execute(
        "CREATE TRIGGER log_entry_stays AFTER DELETE ON log_entry REFERENCING OLD TABLE AS gone"
        " FOR EACH STATEMENT EXECUTE FUNCTION refuse_other_deletion()"
    )
    # Whom an entry was about goes with it.
    op.execute("DROP TRIGGER log_subject_stays ON log_subject")
    op.execute(
        "CREATE TRIGGER log_subject_is_final BEFORE UPDATE OR TRUNCATE ON log_subject"
        " FOR EACH STATEMENT EXECUTE FUNCTION refuse_change()"
    )
    op.execute(
        "CREATE TRIGGER log_subject_stays AFTER DELETE ON log_subject REFERENCING OLD TABLE AS gone"
        " FOR EACH STATEMENT EXECUTE FUNCTION refuse_other_deletion()"
    )


def downgrade() -> None:
    op.execute("SET LOCAL lock_timeout = '5s'")
    op.execute(STILL_HERE)
    op.execute("DROP TRIGGER log_subject_stays ON log_subject")
    op.execute("DROP TRIGGER log_subject_is_final ON log_subject")
    op.execute(
        "CREATE TRIGGER log_subject_stays BEFORE UPDATE OR DELETE OR TRUNCATE ON log_subject"
        " FOR EACH STATEMENT EXECUTE FUNCTION refuse_change()"
    )
    op.execute("DROP TRIGGER log_entry_stays ON log_entry")
    op.execute("DROP TRIGGER log_entry_is_final ON log_entry")
    op.execute(
        "CREATE TRIGGER log_entry_is_final BEFORE UPDATE OR DELETE OR TRUNCATE ON log_entry"
        " FOR EACH STATEMENT EXECUTE FUNCTION refuse_change()"
    )
    op.drop_table("log_retention")
    op.execute("DROP FUNCTION check_log_retention")
    op.execute("DROP FUNCTION refuse_other_deletion")
