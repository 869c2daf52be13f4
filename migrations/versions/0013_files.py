"""ready-made files of published versions"""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects.postgresql import ARRAY

revision = "0013"
down_revision = "0012"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.execute("SET LOCAL lock_timeout = '5s'")
    op.create_table(
        "version_file",
        sa.Column("dataset_id", sa.Text(), nullable=False),
        sa.Column("version_number", sa.Integer(), nullable=False),
        sa.Column("revision", sa.BigInteger(), nullable=False),
        sa.Column("format", sa.Text(), nullable=False),
        sa.Column("columns", ARRAY(sa.Text()), nullable=False),
        sa.Column("rows", sa.BigInteger(), nullable=False),
        sa.Column("size", sa.BigInteger()),
        sa.Column("sha256", sa.Text()),
        sa.Column("reason", sa.Text()),
        sa.Column("made_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("removed_at", sa.DateTime(timezone=True)),
        sa.PrimaryKeyConstraint(
            "dataset_id", "version_number", "revision", "format", name="pk_version_file"
        ),
        sa.ForeignKeyConstraint(
            ["dataset_id", "version_number"],
            ["version.dataset_id", "version.number"],
            name="fk_version_file_version",
        ),
        sa.CheckConstraint(
            "(reason IS NULL) = (sha256 IS NOT NULL)", name="ck_version_file_file_or_reason"
        ),
    )
    op.execute(
        "CREATE CONSTRAINT TRIGGER version_file_tells"
        " AFTER INSERT OR UPDATE OR DELETE ON version_file"
        " DEFERRABLE INITIALLY DEFERRED FOR EACH ROW"
        " EXECUTE FUNCTION tell_change('dataset', 'dataset_id')"
    )


def downgrade() -> None:
    op.execute("SET LOCAL lock_timeout = '5s'")
    op.drop_table("version_file")
