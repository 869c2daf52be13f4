"""wrong passwords and codes of a session, counted apart from those of its account"""

import sqlalchemy as sa
from alembic import op

revision = "0025"
down_revision = "0024"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.execute("SET LOCAL lock_timeout = '5s'")
    op.add_column(
        "person_session", sa.Column("failures", sa.Integer(), nullable=False, server_default="0")
    )
    op.alter_column("person_session", "failures", server_default=None)


def downgrade() -> None:
    op.execute("SET LOCAL lock_timeout = '5s'")
    op.drop_column("person_session", "failures")
