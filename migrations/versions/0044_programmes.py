"""programmes and their projects, joint procurements, shared solutions"""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects.postgresql import ARRAY, JSONB

revision = "0044"
down_revision = "0043"
branch_labels = None
depends_on = None

TIME = sa.DateTime(timezone=True)
TEXTS = ARRAY(sa.Text())


def upgrade() -> None:
    op.execute("SET LOCAL lock_timeout = '5s'")
    _programmes()
    _procurement()


def _programmes() -> None:
    op.create_table(
        "programme",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("organization_id", sa.Text(), nullable=False),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("fiscal_year", sa.Integer(), nullable=False),
        sa.Column("title", sa.Text(), nullable=False),
        sa.Column("classes", TEXTS, nullable=False),
        sa.Column("profiles", TEXTS, nullable=False),
        sa.Column("gated", sa.Boolean(), nullable=False),
        sa.Column("revision", sa.Integer(), nullable=False),
        *_traces(),
        sa.PrimaryKeyConstraint("id", name="pk_programme"),
        _of_organization("programme", "organization_id"),
        sa.CheckConstraint("kind IN ('support', 'subsidy')", name="ck_programme_kind"),
    )
    op.create_index(
        "uq_programme_title", "programme", ["organization_id", "fiscal_year", "title"], unique=True
    )
    op.create_table(
        "project",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("programme_id", sa.Uuid(), nullable=False),
        sa.Column("organization_id", sa.Text(), nullable=False),
        sa.Column("title", sa.Text(), nullable=False),
        sa.Column("state", sa.Text(), nullable=False),
        sa.Column("granted_thousand_yen", sa.BigInteger()),
        sa.Column("description", JSONB(none_as_null=True), nullable=False),
        sa.Column("revision", sa.Integer(), nullable=False),
        *_traces(),
        sa.PrimaryKeyConstraint("id", name="pk_project"),
        sa.ForeignKeyConstraint(
            ["programme_id"], ["programme.id"], name="fk_project_programme_id_programme"
        ),
        _of_organization("project", "organization_id"),
        sa.CheckConstraint(
            "state IN ('draft', 'submitted', 'approved', 'completed', 'rejected', 'withdrawn')",
            name="ck_project_state",
        ),
    )
    op.create_index("ix_project_programme_id", "project", ["programme_id"])
    op.create_index("ix_project_organization_id", "project", ["organization_id"])
    op.create_index(
        "uq_project_title", "project", ["programme_id", "organization_id", "title"], unique=True,
        postgresql_where=sa.text("state NOT IN ('rejected', 'withdrawn')"),
    )
    op.create_table(
        "project_revision",
        sa.Column("project_id", sa.Uuid(), nullable=False),
        sa.Column("revision", sa.Integer(), nullable=False),
        sa.Column("state", sa.Text(), nullable=False),
        sa.Column("granted_thousand_yen", sa.BigInteger()),
        sa.Column("description", JSONB(none_as_null=True), nullable=False),
        sa.Column("note", sa.Text()),
        sa.Column("at", TIME, nullable=False),
        sa.Column("by", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("project_id", "revision", name="pk_project_revision"),
        sa.ForeignKeyConstraint(
            ["project_id"], ["project.id"], name="fk_project_revision_project_id_project"
        ),
    )


def _procurement() -> None:
    op.create_table(
        "joint_procurement",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("lead_id", sa.Text(), nullable=False),
        sa.Column("title", sa.Text(), nullable=False),
        sa.Column("starts_on", sa.Date(), nullable=False),
        sa.Column("ends_on", sa.Date(), nullable=False),
        sa.Column("description", JSONB(none_as_null=True), nullable=False),
        sa.Column("revision", sa.Integer(), nullable=False),
        *_traces(),
        sa.PrimaryKeyConstraint("id", name="pk_joint_procurement"),
        _of_organization("joint_procurement", "lead_id"),
        sa.CheckConstraint("ends_on > starts_on", name="ck_joint_procurement_period"),
    )
    op.create_index("ix_joint_procurement_lead_id", "joint_procurement", ["lead_id"])
    op.create_table(
        "joint_participant",
        sa.Column("procurement_id", sa.Uuid(), nullable=False),
        sa.Column("organization_id", sa.Text(), nullable=False),
        sa.Column("since", sa.Date(), nullable=False),
        sa.Column("added_at", TIME, nullable=False),
        sa.Column("added_by", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("procurement_id", "organization_id", name="pk_joint_participant"),
        sa.ForeignKeyConstraint(
            ["procurement_id"], ["joint_procurement.id"],
            name="fk_joint_participant_procurement_id_joint_procurement",
        ),
        _of_organization("joint_participant", "organization_id"),
    )
    op.create_index(
        "ix_joint_participant_organization_id", "joint_participant", ["organization_id"]
    )
    op.create_table(
        "shared_solution",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("organization_id", sa.Text(), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("function", sa.Text(), nullable=False),
        sa.Column("service_id", sa.Uuid()),
        sa.Column("users", TEXTS, nullable=False),
        sa.Column("licence", sa.Text(), nullable=False),
        sa.Column("terms", sa.Text()),
        sa.Column("contact", sa.Text(), nullable=False),
        sa.Column("documentation_url", sa.Text()),
        sa.Column("how_to_join", sa.Text(), nullable=False),
        *_traces(),
        sa.Column("withdrawn_at", TIME),
        sa.PrimaryKeyConstraint("id", name="pk_shared_solution"),
        _of_organization("shared_solution", "organization_id"),
        sa.ForeignKeyConstraint(
            ["service_id"], ["conformance_service.id"],
            name="fk_shared_solution_service_id_conformance_service",
        ),
    )
    op.create_index("ix_shared_solution_organization_id", "shared_solution", ["organization_id"])
    op.create_index("ix_shared_solution_function", "shared_solution", ["function"])


def _traces() -> list[sa.Column]:
    return [
        sa.Column("created_at", TIME, nullable=False),
        sa.Column("created_by", sa.Text(), nullable=False),
        sa.Column("changed_at", TIME, nullable=False),
        sa.Column("changed_by", sa.Text(), nullable=False),
    ]


def _of_organization(table: str, column: str) -> sa.ForeignKeyConstraint:
    name = f"fk_{table}_{column}_organization"
    return sa.ForeignKeyConstraint([column], ["organization.id"], name=name)


def downgrade() -> None:
    op.execute("SET LOCAL lock_timeout = '5s'")
    op.drop_table("shared_solution")
    op.drop_table("joint_participant")
    op.drop_table("joint_procurement")
    op.drop_table("project_revision")
    op.drop_table("project")
    op.drop_table("programme")
