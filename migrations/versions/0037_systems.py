"""systems, their revisions and diagnoses, weights of the lock-in score, decisions on doubles"""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects.postgresql import ARRAY, JSONB

revision = "0037"
down_revision = "0036"
branch_labels = None
depends_on = None

TIME = sa.DateTime(timezone=True)
JSON = JSONB(none_as_null=True)


def upgrade() -> None:
    op.execute("SET LOCAL lock_timeout = '5s'")
    op.create_table(
        "system",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("organization_id", sa.Text(), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("function", sa.Text(), nullable=False),
        sa.Column("state", sa.Text(), nullable=False),
        sa.Column("description", JSON, nullable=False),
        sa.Column("revision", sa.Integer(), nullable=False),
        sa.Column("created_at", TIME, nullable=False),
        sa.Column("created_by", sa.Text(), nullable=False),
        sa.Column("changed_at", TIME, nullable=False),
        sa.Column("changed_by", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_system"),
        sa.ForeignKeyConstraint(
            ["organization_id"], ["organization.id"], name="fk_system_organization_id_organization"
        ),
        sa.CheckConstraint("revision >= 1", name="ck_system_revision"),
    )
    op.create_index("ix_system_function", "system", ["function"])
    op.create_index("ix_system_organization_id", "system", ["organization_id"])
    op.create_table(
        "system_revision",
        sa.Column("system_id", sa.Uuid(), nullable=False),
        sa.Column("revision", sa.Integer(), nullable=False),
        sa.Column("description", JSON, nullable=False),
        sa.Column("at", TIME, nullable=False),
        sa.Column("by", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("system_id", "revision", name="pk_system_revision"),
        sa.ForeignKeyConstraint(
            ["system_id"], ["system.id"], name="fk_system_revision_system_id_system"
        ),
    )
    op.create_table(
        "diagnosis",
        sa.Column("id", sa.BigInteger(), sa.Identity(always=True), nullable=False),
        sa.Column("system_id", sa.Uuid(), nullable=False),
        sa.Column("revision", sa.Integer(), nullable=False),
        sa.Column("signs", JSON, nullable=False),
        sa.Column("at", TIME, nullable=False),
        sa.Column("by", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_diagnosis"),
        sa.ForeignKeyConstraint(["system_id"], ["system.id"], name="fk_diagnosis_system_id_system"),
    )
    op.create_index("ix_diagnosis_system_id", "diagnosis", ["system_id"])
    op.create_table(
        "lock_in_weights",
        sa.Column("version", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("weights", JSON, nullable=False),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.Column("set_at", TIME, nullable=False),
        sa.Column("set_by", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("version", name="pk_lock_in_weights"),
    )
    op.create_table(
        "duplicate_decision",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("function", sa.Text(), nullable=False),
        sa.Column("members", ARRAY(sa.Text()), nullable=False),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.Column("at", TIME, nullable=False),
        sa.Column("by", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_duplicate_decision"),
        sa.CheckConstraint("cardinality(members) >= 2", name="ck_duplicate_decision_members"),
    )
    op.create_index("ix_duplicate_decision_function", "duplicate_decision", ["function"])


def downgrade() -> None:
    op.execute("SET LOCAL lock_timeout = '5s'")
    op.drop_table("duplicate_decision")
    op.drop_table("lock_in_weights")
    op.drop_table("diagnosis")
    op.drop_table("system_revision")
    op.drop_table("system")
