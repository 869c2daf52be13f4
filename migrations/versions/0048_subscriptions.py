"""who is told that a dataset has changed, and the notices to them"""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects.postgresql import JSONB

revision = "0048"
down_revision = "0047"
branch_labels = None
depends_on = None

TIME = sa.DateTime(timezone=True)


def upgrade() -> None:
    op.execute("SET LOCAL lock_timeout = '5s'")
    op.create_table(
        "subscription",
        sa.Column("id", sa.Text(), nullable=False),
        sa.Column("client_id", sa.Text(), nullable=False),
        sa.Column("dataset_id", sa.Text(), nullable=False),
        sa.Column("url", sa.Text(), nullable=False),
        sa.Column("host", sa.Text(), nullable=False),
        sa.Column("sealed_secret", sa.LargeBinary(), nullable=False),
        sa.Column("zone", sa.Text(), nullable=False),
        sa.Column("bound", sa.Boolean(), nullable=False),
        sa.Column("purpose", sa.Text()),
        sa.Column("agreement_id", sa.Text()),
        sa.Column("position", sa.Text(), nullable=False),
        sa.Column("edition", sa.BigInteger(), nullable=False),
        sa.Column("state", sa.Text(), nullable=False),
        sa.Column("created_at", TIME, nullable=False),
        sa.Column("last_delivered_at", TIME),
        sa.Column("failure", JSONB(none_as_null=True)),
        sa.Column("stopped_at", TIME),
        sa.Column("stopped_code", sa.Text()),
        sa.Column("stopped_ja", sa.Text()),
        sa.Column("stopped_en", sa.Text()),
        sa.Column("sending_until", TIME),
        sa.PrimaryKeyConstraint("id", name="pk_subscription"),
        sa.ForeignKeyConstraint(
            ["client_id"], ["client.id"], name="fk_subscription_client_id_client"
        ),
        sa.ForeignKeyConstraint(
            ["dataset_id"], ["dataset.id"], name="fk_subscription_dataset_id_dataset"
        ),
        sa.CheckConstraint(
            "state IN ('active', 'failing', 'stopped')", name="ck_subscription_state"
        ),
        sa.CheckConstraint(
            "(state = 'stopped') = (stopped_code IS NOT NULL)", name="ck_subscription_stopped"
        ),
    )
    op.create_index(
        "ix_subscription_dataset", "subscription", ["dataset_id"],
        postgresql_where=sa.text("state <> 'stopped'"),
    )  # fmt: skip
    op.create_index("ix_subscription_client", "subscription", ["client_id", "id"])
    op.create_index(
        "ix_subscription_sending", "subscription", ["sending_until"],
        postgresql_where=sa.text("sending_until IS NOT NULL"),
    )  # fmt: skip
    op.create_table(
        "notice",
        sa.Column("id", sa.BigInteger(), sa.Identity(always=True), nullable=False),
        sa.Column("message_id", sa.Uuid(), nullable=False),
        sa.Column("subscription_id", sa.Text(), nullable=False),
        sa.Column("since", sa.Text(), nullable=False),
        sa.Column("edition", sa.BigInteger(), nullable=False),
        sa.Column("state", sa.Text(), nullable=False),
        sa.Column("attempts", sa.Integer(), nullable=False),
        sa.Column("created_at", TIME, nullable=False),
        sa.Column("first_tried_at", TIME),
        sa.Column("next_at", TIME, nullable=False),
        sa.Column("ended_at", TIME),
        sa.Column("failure", JSONB(none_as_null=True)),
        sa.PrimaryKeyConstraint("id", name="pk_notice"),
        sa.UniqueConstraint("message_id", name="uq_notice_message_id"),
        sa.ForeignKeyConstraint(
            ["subscription_id"], ["subscription.id"], ondelete="CASCADE",
            name="fk_notice_subscription_id_subscription",
        ),
        sa.CheckConstraint("state IN ('waiting', 'delivered', 'failed')", name="ck_notice_state"),
    )  # fmt: skip
    op.create_index(
        "ix_notice_waiting", "notice", ["subscription_id", "id"],
        postgresql_where=sa.text("state = 'waiting'"),
    )  # fmt: skip
    op.create_index("ix_notice_subscription", "notice", ["subscription_id", "id"])
    op.create_index("ix_notice_created", "notice", ["created_at"])


def downgrade() -> None:
    op.execute("SET LOCAL lock_timeout = '5s'")
    op.drop_table("notice")
    op.drop_table("subscription")
