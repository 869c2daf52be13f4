"""what was announced on the open-data shelf, and who approves what is published"""

import sqlalchemy as sa
from alembic import op

revision = "0010"
down_revision = "0009"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.execute("SET LOCAL lock_timeout = '5s'")
    op.add_column("dataset", sa.Column("announced_at", sa.DateTime(timezone=True)))
    # What is known of the past: the newest publication, or the withdrawal as the last change.
    # Nobody remembers the column, so nobody is told; a notice a row would take hours.
    op.execute("ALTER TABLE dataset DISABLE TRIGGER USER")
    op.execute(
        "UPDATE dataset SET announced_at = CASE WHEN state = 'withdrawn' THEN modified_at ELSE ("
        "  SELECT max(published_at) FROM version WHERE version.dataset_id = dataset.id) END"
        " WHERE current_version IS NOT NULL"
    )
    op.execute("ALTER TABLE dataset ENABLE TRIGGER USER")
    op.create_index("ix_dataset_announced", "dataset", ["announced_at", "id"])
    op.add_column("organization", sa.Column("approval", sa.Text()))
    op.create_check_constraint(
        op.f("ck_organization_approval"), "organization", "approval IN ('second_person')"
    )


def downgrade() -> None:
    op.execute("SET LOCAL lock_timeout = '5s'")
    op.drop_constraint(op.f("ck_organization_approval"), "organization")
    op.drop_column("organization", "approval")
    op.drop_index("ix_dataset_announced", table_name="dataset")
    op.drop_column("dataset", "announced_at")
