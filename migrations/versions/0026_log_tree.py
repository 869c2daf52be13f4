"""the Merkle tree over the log, its key, its checkpoints and what witnesses signed of them"""

import sqlalchemy as sa
from alembic import op

revision = "0026"
down_revision = "0025"
branch_labels = None
depends_on = None

GROWS = """
CREATE FUNCTION refuse_other_hashes() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF (NEW.level, NEW.number) IS DISTINCT FROM (OLD.level, OLD.number)
       OR substr(NEW.hashes, 1, length(OLD.hashes)) <> OLD.hashes THEN
        RAISE EXCEPTION 'the log is only ever added to' USING ERRCODE = 'insufficient_privilege';
    END IF;
    RETURN NEW;
END $$
"""
CONFIRMED = """
CREATE FUNCTION refuse_other_checkpoint() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF (NEW.size, NEW.root, NEW.note, NEW.signed_at)
       IS DISTINCT FROM (OLD.size, OLD.root, OLD.note, OLD.signed_at) THEN
        RAISE EXCEPTION 'a signed checkpoint stays' USING ERRCODE = 'insufficient_privilege';
    END IF;
    RETURN NEW;
END $$
"""
STAYS = (
    ("log_tile", "DELETE OR TRUNCATE"),
    ("log_key", "UPDATE OR DELETE OR TRUNCATE"),
    ("log_checkpoint", "DELETE OR TRUNCATE"),
    ("log_cosignature", "UPDATE OR DELETE OR TRUNCATE"),
)


def upgrade() -> None:
    op.execute("SET LOCAL lock_timeout = '5s'")
    op.create_table(
        "log_tile",
        sa.Column("level", sa.SmallInteger(), nullable=False),
        sa.Column("number", sa.BigInteger(), nullable=False),
        sa.Column("hashes", sa.LargeBinary(), nullable=False),
        sa.PrimaryKeyConstraint("level", "number", name="pk_log_tile"),
    )
    # Hashes do not compress.
    op.execute("ALTER TABLE log_tile ALTER COLUMN hashes SET STORAGE EXTERNAL")
    op.create_table(
        "log_key",
        sa.Column("id", sa.SmallInteger(), nullable=False),
        sa.Column("verifier", sa.Text(), nullable=False),
        sa.Column("sealed_private", sa.LargeBinary(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_log_key"),
        sa.CheckConstraint("id = 1", name="ck_log_key_one_row"),
    )
    op.create_table(
        "log_checkpoint",
        sa.Column("size", sa.BigInteger(), nullable=False),
        sa.Column("root", sa.LargeBinary(), nullable=False),
        sa.Column("note", sa.Text(), nullable=False),
        sa.Column("signed_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("confirmed_at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("size", name="pk_log_checkpoint"),
    )
    op.create_table(
        "log_cosignature",
        sa.Column("size", sa.BigInteger(), nullable=False),
        sa.Column("witness", sa.Text(), nullable=False),
        sa.Column("line", sa.Text(), nullable=False),
        sa.Column("signed_at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("size", "witness", name="pk_log_cosignature"),
        sa.ForeignKeyConstraint(
            ["size"], ["log_checkpoint.size"], name="fk_log_cosignature_size_log_checkpoint"
        ),
    )
    for table, what in STAYS:
        op.execute(
            f"CREATE TRIGGER {table}_stays BEFORE {what} ON {table}"
            " FOR EACH STATEMENT EXECUTE FUNCTION refuse_change()"
        )
    for function, table in (
        (GROWS, "log_tile"),
        (CONFIRMED, "log_checkpoint"),
    ):
        op.execute(function)
        name = function.split("(", 1)[0].split()[-1]
        op.execute(
            f"CREATE TRIGGER {table}_keeps BEFORE UPDATE ON {table}"
            f" FOR EACH ROW EXECUTE FUNCTION {name}()"
        )


def downgrade() -> None:
    op.execute("SET LOCAL lock_timeout = '5s'")
    for table in ("log_cosignature", "log_checkpoint", "log_key", "log_tile"):
        op.drop_table(table)
    op.execute("DROP FUNCTION refuse_other_checkpoint")
    op.execute("DROP FUNCTION refuse_other_hashes")
