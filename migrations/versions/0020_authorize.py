"""pushed authorization requests, consents and codes"""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects.postgresql import ARRAY, JSONB

revision = "0020"
down_revision = "0019"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.execute("SET LOCAL lock_timeout = '5s'")
    op.create_table(
        "pushed_request",
        sa.Column("request_sha256", sa.LargeBinary(), nullable=False),
        sa.Column("client_id", sa.Text(), nullable=False),
        sa.Column("asked", JSONB(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("opened_at", sa.DateTime(timezone=True)),
        sa.Column("expires_at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("request_sha256", name="pk_pushed_request"),
        sa.ForeignKeyConstraint(
            ["client_id"], ["client.id"], name="fk_pushed_request_client_id_client"
        ),
    )
    op.create_index("ix_pushed_request_expires_at", "pushed_request", ["expires_at"])
    op.create_table(
        "consent",
        sa.Column("person_id", sa.Text(), nullable=False),
        sa.Column("client_id", sa.Text(), nullable=False),
        sa.Column("signed_in_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("what", sa.Text(), nullable=False),
        sa.Column("expires_at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint(
            "person_id", "client_id", "signed_in_at", "what", name="pk_consent"
        ),
        sa.ForeignKeyConstraint(["person_id"], ["person.id"], name="fk_consent_person_id_person"),
        sa.ForeignKeyConstraint(["client_id"], ["client.id"], name="fk_consent_client_id_client"),
    )
    op.create_index("ix_consent_expires_at", "consent", ["expires_at"])
    op.create_table(
        "authorization_code",
        sa.Column("code_sha256", sa.LargeBinary(), nullable=False),
        sa.Column("client_id", sa.Text(), nullable=False),
        sa.Column("person_id", sa.Text(), nullable=False),
        sa.Column("asked", JSONB(), nullable=False),
        sa.Column("acr", sa.Text(), nullable=False),
        sa.Column("auth_time", sa.DateTime(timezone=True), nullable=False),
        sa.Column("methods", ARRAY(sa.Text()), nullable=False),
        sa.Column("expires_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("used_at", sa.DateTime(timezone=True)),
        sa.Column("token_jti", sa.Text()),
        sa.Column("token_expires_at", sa.DateTime(timezone=True)),
        sa.PrimaryKeyConstraint("code_sha256", name="pk_authorization_code"),
        sa.ForeignKeyConstraint(
            ["client_id"], ["client.id"], name="fk_authorization_code_client_id_client"
        ),
        sa.ForeignKeyConstraint(
            ["person_id"], ["person.id"], name="fk_authorization_code_person_id_person"
        ),
        sa.CheckConstraint(
            "num_nonnulls(used_at, token_jti, token_expires_at) IN (0, 3)",
            name="ck_authorization_code_used_for_a_token",
        ),
    )
    op.create_index("ix_authorization_code_expires_at", "authorization_code", ["expires_at"])


def downgrade() -> None:
    op.execute("SET LOCAL lock_timeout = '5s'")
    op.drop_table("authorization_code")
    op.drop_table("consent")
    op.drop_table("pushed_request")
