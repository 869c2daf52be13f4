"""services that vendors register, official runs, certificates; whether a key was dropped as leaked"""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects.postgresql import ARRAY, JSONB

revision = "0042"
down_revision = "0041"
branch_labels = None
depends_on = None

TIME = sa.DateTime(timezone=True)
TEXTS = ARRAY(sa.Text())


def upgrade() -> None:
    op.execute("SET LOCAL lock_timeout = '5s'")
    op.add_column(
        "signing_key",
        sa.Column("leaked", sa.Boolean(), nullable=False, server_default=sa.false()),
    )
    op.create_table(
        "conformance_service",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("organization_id", sa.Text(), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("sandbox_url", sa.Text(), nullable=False),
        sa.Column("dataset", sa.Text()),
        sa.Column("classes", TEXTS, nullable=False),
        sa.Column("municipalities", TEXTS, nullable=False),
        sa.Column("created_at", TIME, nullable=False),
        sa.Column("created_by", sa.Text(), nullable=False),
        sa.Column("changed_at", TIME, nullable=False),
        sa.Column("changed_by", sa.Text(), nullable=False),
        sa.Column("withdrawn_at", TIME),
        sa.PrimaryKeyConstraint("id", name="pk_conformance_service"),
        sa.ForeignKeyConstraint(
            ["organization_id"], ["organization.id"],
            name="fk_conformance_service_organization_id_organization",
        ),
    )
    op.create_index(
        "ix_conformance_service_organization_id", "conformance_service", ["organization_id"]
    )
    op.create_table(
        "conformance_run",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("service_id", sa.Uuid(), nullable=False),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("state", sa.Text(), nullable=False),
        sa.Column("sandbox_url", sa.Text(), nullable=False),
        sa.Column("dataset", sa.Text()),
        sa.Column("classes", TEXTS, nullable=False),
        sa.Column("attempt", sa.Uuid()),
        sa.Column("standard", sa.Text()),
        sa.Column("standard_until", TIME),
        sa.Column("profile", sa.Text()),
        sa.Column("broken", TEXTS, nullable=False),
        sa.Column("requests", sa.Integer()),
        sa.Column("report", sa.LargeBinary()),
        sa.Column("report_sha256", sa.Text()),
        sa.Column("error_code", sa.Text()),
        sa.Column("error_ja", sa.Text()),
        sa.Column("error_en", sa.Text()),
        sa.Column("created_at", TIME, nullable=False),
        sa.Column("created_by", sa.Text()),
        sa.Column("started_at", TIME),
        sa.Column("ended_at", TIME),
        sa.Column("cancel_requested_at", TIME),
        sa.PrimaryKeyConstraint("id", name="pk_conformance_run"),
        sa.ForeignKeyConstraint(
            ["service_id"], ["conformance_service.id"],
            name="fk_conformance_run_service_id_conformance_service",
        ),
    )
    op.create_index(
        "ix_conformance_run_service", "conformance_run", ["service_id", "created_at", "id"]
    )
    op.create_index(
        "uq_conformance_run_under_way", "conformance_run", ["service_id"], unique=True,
        postgresql_where=sa.text("ended_at IS NULL"),
    )
    op.create_table(
        "conformance_certificate",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("service_id", sa.Uuid(), nullable=False),
        sa.Column("run_id", sa.Uuid(), nullable=False),
        sa.Column("claims", JSONB(none_as_null=True), nullable=False),
        sa.Column("issued_at", TIME, nullable=False),
        sa.Column("issued_by", sa.Text(), nullable=False),
        sa.Column("expires_at", TIME, nullable=False),
        sa.Column("revoked_at", TIME),
        sa.Column("revoked_by", sa.Text()),
        sa.Column("revoked_reason", sa.Text()),
        sa.Column("noticed_days", sa.Integer()),
        sa.PrimaryKeyConstraint("id", name="pk_conformance_certificate"),
        sa.ForeignKeyConstraint(
            ["service_id"], ["conformance_service.id"],
            name="fk_conformance_certificate_service_id_conformance_service",
        ),
        sa.ForeignKeyConstraint(
            ["run_id"], ["conformance_run.id"],
            name="fk_conformance_certificate_run_id_conformance_run",
        ),
        sa.UniqueConstraint("run_id", name="uq_conformance_certificate_run_id"),
        sa.CheckConstraint("expires_at > issued_at", name="ck_conformance_certificate_period"),
        sa.CheckConstraint(
            "(revoked_at IS NULL) = (revoked_reason IS NULL)",
            name="ck_conformance_certificate_revocation_is_whole",
        ),
    )
    op.create_index(
        "ix_conformance_certificate_service_id", "conformance_certificate", ["service_id"]
    )


def downgrade() -> None:
    op.execute("SET LOCAL lock_timeout = '5s'")
    op.drop_table("conformance_certificate")
    op.drop_table("conformance_run")
    op.drop_table("conformance_service")
    op.drop_column("signing_key", "leaked")
