"""streams: how far each has come, who listens, and what arrived to be taken"""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects.postgresql import JSONB

revision = "0039"
down_revision = "0038"
branch_labels = None
depends_on = None

TIME = sa.DateTime(timezone=True)
JSON = JSONB(none_as_null=True)


def upgrade() -> None:
    op.execute("SET LOCAL lock_timeout = '5s'")
    op.create_table(
        "connector_stream",
        sa.Column("dataset_id", sa.Text(), nullable=False),
        sa.Column("state", sa.Text(), nullable=False),
        sa.Column("holder", sa.Uuid()),
        sa.Column("held_until", TIME),
        sa.Column("next_try_at", TIME),
        sa.Column("tries", sa.Integer(), nullable=False),
        sa.Column("tried_of", TIME),
        sa.Column("made_for", sa.Text()),
        sa.Column("position", JSON),
        sa.Column("secret_sha256", sa.LargeBinary()),
        sa.Column("former_sha256", sa.LargeBinary()),
        sa.Column("since", TIME),
        sa.Column("last_at", TIME),
        sa.Column("received", sa.BigInteger(), nullable=False),
        sa.Column("written", sa.BigInteger(), nullable=False),
        sa.Column("deleted", sa.BigInteger(), nullable=False),
        sa.Column("rejected", sa.BigInteger(), nullable=False),
        sa.Column("rejects", JSON, nullable=False),
        sa.Column("error_class", sa.Text()),
        sa.Column("error_code", sa.Text()),
        sa.Column("error_ja", sa.Text()),
        sa.Column("error_en", sa.Text()),
        sa.Column("error_at", TIME),
        sa.PrimaryKeyConstraint("dataset_id", name="pk_connector_stream"),
        sa.ForeignKeyConstraint(
            ["dataset_id"], ["connector_feed.dataset_id"], ondelete="CASCADE",
            name="fk_connector_stream_dataset_id_connector_feed",
        ),
    )
    op.create_table(
        "stream_message",
        sa.Column("number", sa.BigInteger(), sa.Identity(always=True), nullable=False),
        sa.Column("dataset_id", sa.Text(), nullable=False),
        sa.Column("body", sa.LargeBinary(), nullable=False),
        sa.Column("received_at", TIME, nullable=False),
        sa.PrimaryKeyConstraint("number", name="pk_stream_message"),
        sa.ForeignKeyConstraint(
            ["dataset_id"], ["connector_stream.dataset_id"], ondelete="CASCADE",
            name="fk_stream_message_dataset_id_connector_stream",
        ),
    )
    op.create_index("ix_stream_message_next", "stream_message", ["dataset_id", "number"])


def downgrade() -> None:
    op.execute("SET LOCAL lock_timeout = '5s'")
    op.drop_table("stream_message")
    op.drop_table("connector_stream")
    # A feed that only listens is one that nobody asks, until somebody says what else it does.
    op.execute("UPDATE connector_feed SET mode = 'harvest' WHERE mode = 'stream'")
