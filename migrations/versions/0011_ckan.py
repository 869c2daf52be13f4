"""datasets are found by the UUID that CKAN's clients know them by"""

from alembic import op

revision = "0011"
down_revision = "0010"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.execute("SET LOCAL lock_timeout = '5s'")
    op.execute("CREATE INDEX ix_dataset_shelf_id ON dataset (substring(sha256(id::bytea), 1, 6))")


def downgrade() -> None:
    op.execute("SET LOCAL lock_timeout = '5s'")
    op.execute("DROP INDEX ix_dataset_shelf_id")
