"""quotas of clients and datasets"""

import sqlalchemy as sa
from alembic import op

revision = "0015"
down_revision = "0014"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.execute("SET LOCAL lock_timeout = '5s'")
    op.create_table(
        "quota",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("client_id", sa.Text()),
        sa.Column("dataset_id", sa.Text()),
        sa.Column("requests_per_minute", sa.Integer(), nullable=False),
        sa.Column("set_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("set_by", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_quota"),
        sa.ForeignKeyConstraint(["client_id"], ["client.id"], name="fk_quota_client_id_client"),
        sa.ForeignKeyConstraint(["dataset_id"], ["dataset.id"], name="fk_quota_dataset_id_dataset"),
        sa.UniqueConstraint(
            "client_id", "dataset_id", postgresql_nulls_not_distinct=True, name="uq_quota_subject"
        ),
        sa.CheckConstraint(
            "client_id IS NOT NULL OR dataset_id IS NOT NULL", name="ck_quota_has_subject"
        ),
        sa.CheckConstraint("requests_per_minute > 0", name="ck_quota_allows_some"),
    )
    # Replicas remember all quotas as one thing: it has no id.
    op.execute(
        "CREATE CONSTRAINT TRIGGER quota_tells AFTER INSERT OR UPDATE OR DELETE ON quota"
        " DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION tell_change('quota', '')"
    )


def downgrade() -> None:
    op.execute("SET LOCAL lock_timeout = '5s'")
    op.drop_table("quota")
