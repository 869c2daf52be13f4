"""masks of purpose views, and the sealed keys that stand-ins are made with"""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects.postgresql import JSONB

revision = "0033"
down_revision = "0032"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.execute("SET LOCAL lock_timeout = '5s'")
    op.add_column("purpose_view", sa.Column("masks", JSONB()))
    _bounded_by("num_nonnulls(columns, rows, masks) > 0 OR consent")
    op.create_table(
        "pseudonym_key",
        sa.Column("dataset_id", sa.Text(), nullable=False),
        sa.Column("sealed", sa.LargeBinary(), nullable=False),
        sa.Column("made_at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("dataset_id", name="pk_pseudonym_key"),
        sa.ForeignKeyConstraint(
            ["dataset_id"], ["dataset.id"], name="fk_pseudonym_key_dataset_id_dataset"
        ),
    )


def downgrade() -> None:
    """A view that masks would let everything through below: of one it lets out no column."""
    op.execute("SET LOCAL lock_timeout = '5s'")
    op.execute("UPDATE purpose_view SET columns = '{}' WHERE masks IS NOT NULL")
    op.execute("SET CONSTRAINTS ALL IMMEDIATE")
    _bounded_by("num_nonnulls(columns, rows) > 0 OR consent")
    op.drop_column("purpose_view", "masks")
    op.drop_table("pseudonym_key")


def _bounded_by(check: str) -> None:
    op.drop_constraint("ck_purpose_view_bounds_something", "purpose_view")
    op.create_check_constraint("bounds_something", "purpose_view", check)
