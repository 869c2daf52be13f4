"""what a vendor lends the official judge: a client of its sandbox, its proof sealed"""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects.postgresql import JSONB

revision = "0043"
down_revision = "0042"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.execute("SET LOCAL lock_timeout = '5s'")
    op.add_column("conformance_service", sa.Column("lent", JSONB()))
    op.add_column("conformance_service", sa.Column("sealed_proof", sa.LargeBinary()))
    op.create_check_constraint(
        "ck_conformance_service_lent_is_whole", "conformance_service",
        "(lent IS NULL) = (sealed_proof IS NULL)",
    )  # fmt: skip


def downgrade() -> None:
    op.execute("SET LOCAL lock_timeout = '5s'")
    op.drop_column("conformance_service", "sealed_proof")
    op.drop_column("conformance_service", "lent")
