"""clients that exchange tokens, and clients that register themselves and wait for approval"""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects.postgresql import ARRAY, JSONB

revision = "0022"
down_revision = "0021"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.execute("SET LOCAL lock_timeout = '5s'")
    op.add_column(
        "client", sa.Column("exchange_from", ARRAY(sa.Text()), nullable=False, server_default="{}")
    )
    op.alter_column("client", "exchange_from", server_default=None)
    op.create_table(
        "registration_token",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("organization_id", sa.Text(), nullable=False),
        sa.Column("roles", ARRAY(sa.Text()), nullable=False),
        sa.Column("secret_sha256", sa.LargeBinary(), nullable=False),
        sa.Column("uses_left", sa.Integer(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("created_by", sa.Text(), nullable=False),
        sa.Column("expires_at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_registration_token"),
        sa.UniqueConstraint("secret_sha256", name="uq_registration_token_secret_sha256"),
        # What a registration says of who made its token is what the token says.
        sa.UniqueConstraint("id", "created_by", name="uq_registration_token_id"),
        sa.ForeignKeyConstraint(
            ["organization_id"],
            ["organization.id"],
            name="fk_registration_token_organization_id_organization",
        ),
        sa.CheckConstraint("uses_left >= 0", name="ck_registration_token_uses_left"),
    )
    op.create_table(
        "client_registration",
        sa.Column("client_id", sa.Text(), nullable=False),
        sa.Column("token_id", sa.Uuid(), nullable=False),
        sa.Column("token_by", sa.Text(), nullable=False),
        sa.Column("organization_id", sa.Text(), nullable=False),
        sa.Column("zone", sa.Text(), nullable=False),
        sa.Column("roles", ARRAY(sa.Text()), nullable=False),
        sa.Column("metadata", JSONB(), nullable=False),
        sa.Column("registered_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("expires_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("state", sa.Text(), nullable=False),
        sa.Column("decided_at", sa.DateTime(timezone=True)),
        sa.Column("decided_by", sa.Text()),
        sa.PrimaryKeyConstraint("client_id", name="pk_client_registration"),
        sa.ForeignKeyConstraint(
            ["token_id", "token_by"],
            ["registration_token.id", "registration_token.created_by"],
            name="fk_client_registration_token_id_registration_token",
        ),
        sa.ForeignKeyConstraint(
            ["organization_id"],
            ["organization.id"],
            name="fk_client_registration_organization_id_organization",
        ),
        sa.CheckConstraint(
            "CASE state WHEN 'pending' THEN num_nonnulls(decided_at, decided_by) = 0"
            " WHEN 'rejected' THEN num_nonnulls(decided_at, decided_by) = 2"
            " WHEN 'approved' THEN num_nonnulls(decided_at, decided_by) = 2"
            " AND decided_by <> token_by AND decided_by LIKE 'person:%' ELSE false END",
            name="ck_client_registration_second_person",
        ),
    )
    op.create_index("ix_client_registration_token_id", "client_registration", ["token_id"])
    op.create_index(
        "ix_client_registration_organization_id", "client_registration", ["organization_id"]
    )


def downgrade() -> None:
    op.execute("SET LOCAL lock_timeout = '5s'")
    op.execute("SET CONSTRAINTS ALL IMMEDIATE")
    op.drop_table("client_registration")
    op.drop_table("registration_token")
    op.drop_column("client", "exchange_from")
