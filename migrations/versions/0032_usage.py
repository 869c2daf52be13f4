"""usage by day, counted from the log up to an entry"""

import sqlalchemy as sa
from alembic import op

revision = "0032"
down_revision = "0031"
branch_labels = None
depends_on = None

KEYS = ("event", "dataset_id", "provider_id", "consumer_id", "client_id", "purpose", "reason",
        "agreement_id")  # fmt: skip


def upgrade() -> None:
    op.execute("SET LOCAL lock_timeout = '5s'")
    op.create_table(
        "usage_day",
        sa.Column("day", sa.Date(), nullable=False),
        *(sa.Column(name, sa.Text(), nullable=False) for name in KEYS),
        sa.Column("entries", sa.BigInteger(), nullable=False),
        sa.Column("rows", sa.BigInteger(), nullable=False),
        sa.Column("last_at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("day", *KEYS, name="pk_usage_day"),
    )
    op.create_index("ix_usage_day_dataset_id", "usage_day", ["dataset_id", "day"])
    op.create_table(
        "usage_state",
        sa.Column("id", sa.SmallInteger(), nullable=False),
        sa.Column("counted", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_usage_state"),
        sa.CheckConstraint("id = 1", name="ck_usage_state_one_row"),
    )
    op.execute("INSERT INTO usage_state (id, counted) VALUES (1, 0)")
    for name in ("provider_id", "consumer_id"):
        op.add_column(
            "usage_minute", sa.Column(name, sa.Text(), nullable=False, server_default="")
        )
    op.add_column(
        "usage_minute", sa.Column("counted", sa.BigInteger(), nullable=False, server_default="0")
    )
    op.execute(
        "UPDATE usage_minute SET provider_id = dataset.publisher_id FROM dataset"
        " WHERE dataset.id = dataset_id"
    )
    op.execute(
        "UPDATE usage_minute SET consumer_id = client.organization_id FROM client"
        " WHERE client.id = client_id"
    )
    op.execute("CREATE INDEX ix_usage_minute_due ON usage_minute (minute) WHERE counted < reads")


def downgrade() -> None:
    op.execute("SET LOCAL lock_timeout = '5s'")
    op.execute("DROP INDEX ix_usage_minute_due")
    for name in ("counted", "consumer_id", "provider_id"):
        op.drop_column("usage_minute", name)
    op.drop_table("usage_state")
    op.drop_table("usage_day")
