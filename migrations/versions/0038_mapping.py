"""examples that a feed's mapping must hold, and how its harvests have ended"""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects.postgresql import JSONB

revision = "0038"
down_revision = "0037"
branch_labels = None
depends_on = None

_OF_BEFORE = """
UPDATE connector_feed f SET good_at = (
    SELECT max(h.ended_at) FROM harvest h
    WHERE h.dataset_id = f.dataset_id AND h.connector_id = f.connector_id
      AND h.state IN ('ok', 'degraded', 'unchanged')
)
"""


def upgrade() -> None:
    op.execute("SET LOCAL lock_timeout = '5s'")
    op.add_column("connector_feed", sa.Column("examples", JSONB(none_as_null=True)))
    op.add_column("connector_feed", sa.Column("good_at", sa.DateTime(timezone=True)))
    op.add_column(
        "connector_feed", sa.Column("failures", sa.Integer(), nullable=False, server_default="0")
    )
    op.add_column("connector_feed", sa.Column("failed_in", sa.Uuid()))
    op.execute(_OF_BEFORE)
    op.create_table(
        "harvest_count",
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("outcome", sa.Text(), nullable=False),
        sa.Column("times", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("kind", "outcome", name="pk_harvest_count"),
    )


def downgrade() -> None:
    op.execute("SET LOCAL lock_timeout = '5s'")
    op.drop_table("harvest_count")
    for name in ("failed_in", "failures", "good_at", "examples"):
        op.drop_column("connector_feed", name)
