"""whom an entry of the log is about, told by digests whose salts can be deleted"""

import sqlalchemy as sa
from alembic import op

revision = "0029"
down_revision = "0028"
branch_labels = None
depends_on = None

# `places` are those of the entries in `bodies`, from one on.
APPEND = """
CREATE FUNCTION log_append_about(bodies text[], places integer[], digests bytea[])
RETURNS bigint LANGUAGE plpgsql AS $$
DECLARE
    last bigint := log_append(bodies);
BEGIN
    INSERT INTO log_subject (digest, seq)
    SELECT about.digest, last - cardinality(bodies) + about.place
    FROM unnest(places, digests) AS about (place, digest);
    RETURN last;
END $$
"""
# Whether a version, at a revision, had a record of somebody. Of rows that are gone nobody can say
# that it had not: they count as if it had.
HELD = """
CREATE FUNCTION held_subject(
    dataset_id text, version_number integer, at_revision bigint, names text[]
) RETURNS boolean LANGUAGE plpgsql STABLE AS $$
DECLARE
    stored text;
    place text;
    found boolean;
BEGIN
    SELECT v.table_name, field ->> 'column' INTO stored, place
    FROM version v JOIN dataset d ON d.id = v.dataset_id
    CROSS JOIN jsonb_array_elements(v.fields) AS field
    WHERE v.dataset_id = $1 AND v.number = $2 AND field ->> 'name' = d.subject;
    IF stored IS NULL OR to_regclass(format('hosted.%I', stored)) IS NULL THEN
        RETURN true;
    END IF;
    EXECUTE format(
        'SELECT EXISTS (SELECT FROM hosted.%I WHERE %I = ANY ($1) AND _since <= $2'
        ' AND (_until IS NULL OR _until > $2))', stored, place
    ) INTO found USING names, at_revision;
    RETURN found;
END $$
"""


def upgrade() -> None:
    op.execute("SET LOCAL lock_timeout = '5s'")
    op.create_table(
        "log_subject",
        sa.Column("digest", sa.LargeBinary(), nullable=False),
        sa.Column("seq", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("digest", "seq", name="pk_log_subject"),
    )
    op.create_index("ix_log_subject_seq", "log_subject", ["seq"], postgresql_using="brin")
    op.create_table(
        "subject_salt",
        sa.Column("organization_id", sa.Text(), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("salt", sa.LargeBinary(), nullable=False),
        sa.PrimaryKeyConstraint("organization_id", "name", name="pk_subject_salt"),
    )
    op.execute(
        "CREATE TRIGGER log_subject_stays BEFORE UPDATE OR DELETE OR TRUNCATE ON log_subject"
        " FOR EACH STATEMENT EXECUTE FUNCTION refuse_change()"
    )
    # A salt is never another one: that would make digests say nothing, and nobody would know.
    op.execute(
        "CREATE TRIGGER subject_salt_stays BEFORE UPDATE OR TRUNCATE ON subject_salt"
        " FOR EACH STATEMENT EXECUTE FUNCTION refuse_change()"
    )
    op.execute(APPEND)
    op.execute(HELD)


def downgrade() -> None:
    op.execute("SET LOCAL lock_timeout = '5s'")
    op.execute("DROP FUNCTION held_subject")
    op.execute("DROP FUNCTION log_append_about")
    op.drop_table("subject_salt")
    op.drop_table("log_subject")
