"""by what a source is known that says when there is something new, and whether it has said so"""

import sqlalchemy as sa
from alembic import op

revision = "0043"
down_revision = "0042"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.execute("SET LOCAL lock_timeout = '5s'")
    op.add_column("connector_feed", sa.Column("notice_sha256", sa.LargeBinary()))
    op.add_column("connector_feed", sa.Column("noticed_at", sa.DateTime(timezone=True)))


def downgrade() -> None:
    op.execute("SET LOCAL lock_timeout = '5s'")
    op.drop_column("connector_feed", "noticed_at")
    op.drop_column("connector_feed", "notice_sha256")
