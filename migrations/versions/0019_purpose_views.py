"""what a publisher lets out of a dataset for one purpose at most"""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects.postgresql import ARRAY

revision = "0019"
down_revision = "0018"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.execute("SET LOCAL lock_timeout = '5s'")
    op.create_table(
        "purpose_view",
        sa.Column("dataset_id", sa.Text(), nullable=False),
        sa.Column("purpose", sa.Text(), nullable=False),
        sa.Column("columns", ARRAY(sa.Text())),
        sa.Column("rows", sa.Text()),
        sa.Column("set_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("set_by", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("dataset_id", "purpose", name="pk_purpose_view"),
        sa.ForeignKeyConstraint(
            ["dataset_id"], ["dataset.id"], name="fk_purpose_view_dataset_id_dataset"
        ),
        sa.ForeignKeyConstraint(
            ["purpose"], ["purpose.code"], name="fk_purpose_view_purpose_purpose"
        ),
        sa.CheckConstraint("num_nonnulls(columns, rows) > 0", name="bounds_something"),
    )
    op.execute(
        "CREATE CONSTRAINT TRIGGER purpose_view_tells"
        " AFTER INSERT OR UPDATE OR DELETE ON purpose_view DEFERRABLE INITIALLY DEFERRED"
        " FOR EACH ROW EXECUTE FUNCTION tell_change('dataset', 'dataset_id')"
    )


def downgrade() -> None:
    op.execute("SET LOCAL lock_timeout = '5s'")
    op.execute("SET CONSTRAINTS ALL IMMEDIATE")
    op.drop_table("purpose_view")
