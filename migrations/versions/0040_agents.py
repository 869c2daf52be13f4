"""agents in closed networks, their jobs, and the sealed pieces of their answers"""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects.postgresql import JSONB

revision = "0040"
down_revision = "0039"
branch_labels = None
depends_on = None

TIME = sa.DateTime(timezone=True)
JSON = JSONB(none_as_null=True)


def upgrade() -> None:
    op.execute("SET LOCAL lock_timeout = '5s'")
    op.create_table(
        "agent",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("organization_id", sa.Text(), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("sources", sa.ARRAY(sa.Text()), nullable=False),
        sa.Column("sealed_code", sa.LargeBinary()),
        sa.Column("code_until", TIME, nullable=False),
        sa.Column("kid", sa.Text()),
        sa.Column("public_jwk", JSON),
        sa.Column("bundle_jwk", JSON, nullable=False),
        sa.Column("sealed_bundle_key", sa.LargeBinary(), nullable=False),
        sa.Column("last_bundle", sa.BigInteger(), nullable=False),
        sa.Column("created_at", TIME, nullable=False),
        sa.Column("created_by", sa.Text(), nullable=False),
        sa.Column("enrolled_at", TIME),
        sa.Column("revoked_at", TIME),
        sa.Column("seen_at", TIME),
        sa.PrimaryKeyConstraint("id", name="pk_agent"),
        sa.UniqueConstraint("kid", name="uq_agent_kid"),
        sa.ForeignKeyConstraint(
            ["organization_id"], ["organization.id"], name="fk_agent_organization_id_organization"
        ),
    )
    op.create_index("ix_agent_organization_id", "agent", ["organization_id"])
    op.create_table(
        "agent_job",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("organization_id", sa.Text(), nullable=False),
        sa.Column("source", sa.Text(), nullable=False),
        sa.Column("wanted", JSON, nullable=False),
        sa.Column("answer_to", JSON),
        sa.Column("state", sa.Text(), nullable=False),
        sa.Column("agent_id", sa.Uuid()),
        sa.Column("attempt", sa.Integer(), nullable=False),
        sa.Column("taken", sa.Integer(), nullable=False),
        sa.Column("place", sa.Text()),
        sa.Column("asked_at", TIME, nullable=False),
        sa.Column("wanted_until", TIME),
        sa.Column("heard_at", TIME),
        sa.PrimaryKeyConstraint("id", name="pk_agent_job"),
        sa.ForeignKeyConstraint(
            ["organization_id"], ["organization.id"],
            name="fk_agent_job_organization_id_organization",
        ),
        sa.ForeignKeyConstraint(
            ["agent_id"], ["agent.id"], ondelete="CASCADE", name="fk_agent_job_agent_id_agent"
        ),
    )
    op.create_index("ix_agent_job_agent_id", "agent_job", ["agent_id"])
    op.create_index(
        "ix_agent_job_waiting", "agent_job", ["organization_id", "state", "asked_at"]
    )
    op.create_table(
        "agent_piece",
        sa.Column("job_id", sa.Uuid(), nullable=False),
        sa.Column("attempt", sa.Integer(), nullable=False),
        sa.Column("position", sa.Integer(), nullable=False),
        sa.Column("data", sa.LargeBinary(), nullable=False),
        sa.PrimaryKeyConstraint("job_id", "attempt", "position", name="pk_agent_piece"),
        sa.ForeignKeyConstraint(
            ["job_id"], ["agent_job.id"], ondelete="CASCADE", name="fk_agent_piece_job_id_agent_job"
        ),
    )
    # Sealed pieces do not get shorter.
    op.execute("ALTER TABLE agent_piece ALTER COLUMN data SET STORAGE EXTERNAL")


def downgrade() -> None:
    op.execute("SET LOCAL lock_timeout = '5s'")
    op.drop_table("agent_piece")
    op.drop_table("agent_job")
    op.drop_table("agent")
