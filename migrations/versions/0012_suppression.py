"""datasets whose records are only counted, and the revision of a version that is counted"""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects.postgresql import JSONB

revision = "0012"
down_revision = "0011"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.execute("SET LOCAL lock_timeout = '5s'")
    op.add_column("dataset", sa.Column("suppression", JSONB))
    op.add_column("version", sa.Column("released_revision", sa.BigInteger()))


def downgrade() -> None:
    op.execute("SET LOCAL lock_timeout = '5s'")
    op.drop_column("version", "released_revision")
    op.drop_column("dataset", "suppression")
