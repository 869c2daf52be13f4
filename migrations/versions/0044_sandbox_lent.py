"""what a vendor lends the judge: a token of its sandbox, sealed, and what the keys of records begin with"""

import sqlalchemy as sa
from alembic import op

revision = "0044"
down_revision = "0043"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.execute("SET LOCAL lock_timeout = '5s'")
    op.add_column("conformance_service", sa.Column("sandbox_prefix", sa.Text()))
    op.add_column("conformance_service", sa.Column("sealed_token", sa.LargeBinary()))


def downgrade() -> None:
    op.execute("SET LOCAL lock_timeout = '5s'")
    op.drop_column("conformance_service", "sealed_token")
    op.drop_column("conformance_service", "sandbox_prefix")
