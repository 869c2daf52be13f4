"""how a file is read, and the columns that no field takes"""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects.postgresql import JSONB

revision = "0008"
down_revision = "0007"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.execute("SET LOCAL lock_timeout = '5s'")
    op.add_column("dataset", sa.Column("reading", JSONB))
    op.add_column("version", sa.Column("mapping", JSONB))
    op.add_column("version", sa.Column("read_as", sa.Text()))
    for name in ("told", "columns", "profile"):
        op.add_column("run", sa.Column(name, JSONB))
    op.add_column("run", sa.Column("delta", sa.Boolean(), server_default=sa.false(), nullable=False))
    for name in ("format", "table_name"):
        op.add_column("run", sa.Column(name, sa.Text()))
    for table in _hosted():
        op.add_column(table, sa.Column("_extras", sa.Text()), schema="hosted")


def downgrade() -> None:
    op.execute("SET LOCAL lock_timeout = '5s'")
    for table in _hosted():
        op.drop_column(table, "_extras", schema="hosted")
    for name in ("table_name", "format", "delta", "profile", "columns", "told"):
        op.drop_column("run", name)
    op.drop_column("version", "read_as")
    op.drop_column("version", "mapping")
    op.drop_column("dataset", "reading")


def _hosted() -> list[str]:
    """The tables of versions as they stand, not as the catalogue says: retention drops some."""
    names = sa.inspect(op.get_bind()).get_table_names(schema="hosted")
    return [name for name in names if name.startswith("v_")]
