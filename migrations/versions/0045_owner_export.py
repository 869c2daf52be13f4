"""owner exports, and what an import keeps as documents"""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects.postgresql import JSONB

revision = "0045"
down_revision = "0044"
branch_labels = None
depends_on = None

TIME = sa.DateTime(timezone=True)


def upgrade() -> None:
    op.execute("SET LOCAL lock_timeout = '5s'")
    op.create_table(
        "owner_export",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("organization_id", sa.Text(), nullable=False),
        sa.Column("state", sa.Text(), nullable=False),
        sa.Column("classes_up_to", sa.Text(), nullable=False),
        sa.Column("zone", sa.Text(), nullable=False),
        sa.Column("purpose", sa.Text()),
        sa.Column("recipient", sa.Text()),
        sa.Column("asked_by", sa.Text(), nullable=False),
        sa.Column("asked_via", sa.Text(), nullable=False),
        sa.Column("asked_at", TIME, nullable=False),
        sa.Column("approved_by", sa.Text()),
        sa.Column("approved_at", TIME),
        sa.Column("attempt", sa.Uuid()),
        sa.Column("members_done", sa.Integer(), nullable=False),
        sa.Column("started_at", TIME),
        sa.Column("cancel_requested_at", TIME),
        sa.Column("ended_at", TIME),
        sa.Column("expires_at", TIME),
        sa.Column("size", sa.BigInteger()),
        sa.Column("sha256", sa.Text()),
        sa.Column("kid", sa.Text()),
        sa.Column("counts", JSONB(none_as_null=True)),
        sa.Column("error_code", sa.Text()),
        sa.Column("error_ja", sa.Text()),
        sa.Column("error_en", sa.Text()),
        sa.PrimaryKeyConstraint("id", name="pk_owner_export"),
        sa.ForeignKeyConstraint(
            ["organization_id"],
            ["organization.id"],
            name="fk_owner_export_organization_id_organization",
        ),
        sa.CheckConstraint(
            "classes_up_to IN ('public', 'internal', 'restricted', 'personal')",
            name="ck_owner_export_class",
        ),
        sa.CheckConstraint(
            "classes_up_to IN ('public', 'internal')"
            " OR (recipient IS NOT NULL AND purpose IS NOT NULL)",
            name="ck_owner_export_sealed",
        ),
        sa.CheckConstraint(
            "classes_up_to IN ('public', 'internal') OR approved_by IS NOT NULL"
            " OR state IN ('waiting', 'cancelled', 'failed')",
            name="ck_owner_export_approved",
        ),
        sa.CheckConstraint("approved_by <> asked_by", name="ck_owner_export_two_people"),
        sa.CheckConstraint(
            "(state = 'ready') <= (sha256 IS NOT NULL)", name="ck_owner_export_whole"
        ),
    )
    op.create_index(
        "ix_owner_export_organization", "owner_export", ["organization_id", "asked_at", "id"]
    )
    op.create_index(
        "uq_owner_export_under_way",
        "owner_export",
        ["organization_id"],
        unique=True,
        postgresql_where=sa.text("state IN ('waiting', 'queued', 'running')"),
    )
    op.create_table(
        "carried_record",
        sa.Column("organization_id", sa.Text(), nullable=False),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("id", sa.Text(), nullable=False),
        sa.Column("body", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("organization_id", "kind", "id", name="pk_carried_record"),
        sa.ForeignKeyConstraint(
            ["organization_id"],
            ["organization.id"],
            name="fk_carried_record_organization_id_organization",
        ),
    )


def downgrade() -> None:
    op.execute("SET LOCAL lock_timeout = '5s'")
    op.drop_table("carried_record")
    op.drop_table("owner_export")
