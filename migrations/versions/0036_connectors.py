"""connectors, what each feeds, and how each of their harvests went"""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects.postgresql import JSONB

revision = "0036"
down_revision = "0035"
branch_labels = None
depends_on = None

TIME = sa.DateTime(timezone=True)
JSON = JSONB(none_as_null=True)


def upgrade() -> None:
    op.execute("SET LOCAL lock_timeout = '5s'")
    op.add_column("run", sa.Column("mapping", JSON))
    op.create_table(
        "connector",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("organization_id", sa.Text(), nullable=False),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("settings", JSON, nullable=False),
        sa.Column("sealed", sa.LargeBinary()),
        sa.Column("zone", sa.Text(), nullable=False),
        sa.Column("paused", sa.Boolean(), nullable=False),
        sa.Column("created_at", TIME, nullable=False),
        sa.Column("created_by", sa.Text(), nullable=False),
        sa.Column("changed_at", TIME, nullable=False),
        sa.Column("set_by", sa.Text(), nullable=False),
        sa.Column("set_via", sa.Text()),
        sa.PrimaryKeyConstraint("id", name="pk_connector"),
        sa.ForeignKeyConstraint(
            ["organization_id"], ["organization.id"],
            name="fk_connector_organization_id_organization",
        ),
    )
    op.create_index("ix_connector_organization_id", "connector", ["organization_id"])
    op.create_table(
        "connector_feed",
        sa.Column("dataset_id", sa.Text(), nullable=False),
        sa.Column("connector_id", sa.Uuid(), nullable=False),
        sa.Column("mode", sa.Text(), nullable=False),
        sa.Column("selection", JSON, nullable=False),
        sa.Column("schedule", sa.Text()),
        sa.Column("next_at", TIME),
        sa.Column("mapping", JSON),
        sa.Column("publish", sa.Boolean(), nullable=False),
        sa.Column("validators", JSON),
        sa.Column("version_number", sa.Integer()),
        sa.PrimaryKeyConstraint("dataset_id", name="pk_connector_feed"),
        sa.ForeignKeyConstraint(
            ["dataset_id"], ["dataset.id"], name="fk_connector_feed_dataset_id_dataset"
        ),
        sa.ForeignKeyConstraint(
            ["connector_id"], ["connector.id"], ondelete="CASCADE",
            name="fk_connector_feed_connector_id_connector",
        ),
    )
    op.create_index("ix_connector_feed_connector_id", "connector_feed", ["connector_id"])
    op.create_index("ix_connector_feed_next", "connector_feed", ["next_at"])
    op.create_table(
        "harvest",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("connector_id", sa.Uuid(), nullable=False),
        sa.Column("dataset_id", sa.Text(), nullable=False),
        sa.Column("state", sa.Text(), nullable=False),
        sa.Column("fresh", sa.Boolean(), nullable=False),
        sa.Column("attempt", sa.Uuid()),
        sa.Column("tries", sa.Integer(), nullable=False),
        sa.Column("validators", JSON),
        sa.Column("run_id", sa.Uuid()),
        sa.Column("version_number", sa.Integer()),
        sa.Column("published", sa.Boolean(), nullable=False),
        sa.Column("rows", sa.BigInteger()),
        sa.Column("bytes", sa.BigInteger()),
        sa.Column("error_class", sa.Text()),
        sa.Column("error_code", sa.Text()),
        sa.Column("error_ja", sa.Text()),
        sa.Column("error_en", sa.Text()),
        sa.Column("created_at", TIME, nullable=False),
        sa.Column("created_by", sa.Text()),
        sa.Column("started_at", TIME),
        sa.Column("ended_at", TIME),
        sa.Column("cancel_requested_at", TIME),
        sa.PrimaryKeyConstraint("id", name="pk_harvest"),
        sa.ForeignKeyConstraint(
            ["connector_id"], ["connector.id"], ondelete="CASCADE",
            name="fk_harvest_connector_id_connector",
        ),
        sa.ForeignKeyConstraint(
            ["dataset_id"], ["dataset.id"], name="fk_harvest_dataset_id_dataset"
        ),
        sa.ForeignKeyConstraint(["run_id"], ["run.id"], name="fk_harvest_run_id_run"),
    )
    op.create_index("ix_harvest_connector", "harvest", ["connector_id", "created_at", "id"])
    op.create_index("ix_harvest_run", "harvest", ["run_id"])
    op.create_index(
        "uq_harvest_under_way", "harvest", ["dataset_id"], unique=True,
        postgresql_where=sa.text("ended_at IS NULL"),
    )
    op.create_index(
        "uq_harvest_fetching", "harvest", ["connector_id"], unique=True,
        postgresql_where=sa.text("state = 'fetching'"),
    )


def downgrade() -> None:
    op.execute("SET LOCAL lock_timeout = '5s'")
    op.drop_table("harvest")
    op.drop_table("connector_feed")
    op.drop_table("connector")
    op.drop_column("run", "mapping")
