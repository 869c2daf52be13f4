"""citizens' identity providers and sessions, and codes that name a citizen by an app's own name"""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects.postgresql import JSONB

revision = "0034"
down_revision = "0033"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.execute("SET LOCAL lock_timeout = '5s'")
    op.add_column(
        "client", sa.Column("citizens", sa.Boolean(), nullable=False, server_default=sa.false())
    )
    op.alter_column("client", "citizens", server_default=None)
    op.create_table(
        "citizen_provider",
        sa.Column("id", sa.Text(), nullable=False),
        sa.Column("name_ja", sa.Text(), nullable=False),
        sa.Column("name_en", sa.Text(), nullable=False),
        sa.Column("issuer", sa.Text(), nullable=False),
        sa.Column("client_id", sa.Text(), nullable=False),
        sa.Column("public_jwk", JSONB()),
        sa.Column("sealed_private_jwk", sa.LargeBinary()),
        sa.Column("sealed_secret", sa.LargeBinary()),
        sa.Column("levels", JSONB(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("created_by", sa.Text(), nullable=False),
        sa.Column("disabled_at", sa.DateTime(timezone=True)),
        sa.PrimaryKeyConstraint("id", name="pk_citizen_provider"),
        sa.CheckConstraint(
            "(public_jwk IS NOT NULL AND sealed_private_jwk IS NOT NULL AND sealed_secret IS NULL)"
            " OR (sealed_secret IS NOT NULL"
            " AND public_jwk IS NULL AND sealed_private_jwk IS NULL)",
            name=op.f("ck_citizen_provider_one_credential"),
        ),
    )
    op.create_index(
        "uq_citizen_provider_issuer_client", "citizen_provider", ["issuer", "client_id"],
        unique=True,
    )  # fmt: skip
    _of_provider(
        "citizen_sign_in",
        sa.Column("state_sha256", sa.LargeBinary(), primary_key=True),
        sa.Column("browser_sha256", sa.LargeBinary(), nullable=False),
        sa.Column("sealed", sa.LargeBinary(), nullable=False),
        sa.Column("return_to", sa.Text(), nullable=False),
        sa.Column("begun_at", sa.DateTime(timezone=True), nullable=False),
    )
    _of_provider(
        "citizen_session",
        sa.Column("secret_sha256", sa.LargeBinary(), primary_key=True),
        sa.Column("sealed_person", sa.LargeBinary(), nullable=False),
        sa.Column("level", sa.Text(), nullable=False),
        sa.Column("signed_in_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("seen_at", sa.DateTime(timezone=True), nullable=False),
    )
    op.create_table(
        "citizen_allowed",
        sa.Column("secret_sha256", sa.LargeBinary(), nullable=False),
        sa.Column("client_id", sa.Text(), nullable=False),
        sa.Column("what", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("secret_sha256", "client_id", "what", name="pk_citizen_allowed"),
        sa.ForeignKeyConstraint(
            ["secret_sha256"], ["citizen_session.secret_sha256"], ondelete="CASCADE",
            name="fk_citizen_allowed_secret_sha256_citizen_session",
        ),
        sa.ForeignKeyConstraint(
            ["client_id"], ["client.id"], name="fk_citizen_allowed_client_id_client"
        ),
    )  # fmt: skip
    op.add_column("authorization_code", sa.Column("subject", sa.Text()))
    op.alter_column("authorization_code", "person_id", nullable=True)
    op.create_check_constraint(
        op.f("ck_authorization_code_of_one"), "authorization_code",
        "num_nonnulls(person_id, subject) = 1",
    )  # fmt: skip


def _of_provider(name: str, *columns: sa.Column[object]) -> None:
    op.create_table(
        name,
        *columns,
        sa.Column("provider_id", sa.Text(), nullable=False),
        sa.Column("expires_at", sa.DateTime(timezone=True), nullable=False),
        sa.ForeignKeyConstraint(
            ["provider_id"], ["citizen_provider.id"],
            name=f"fk_{name}_provider_id_citizen_provider",
        ),
    )  # fmt: skip
    op.create_index(f"ix_{name}_provider_id", name, ["provider_id"])
    op.create_index(f"ix_{name}_expires_at", name, ["expires_at"])


def downgrade() -> None:
    op.execute("SET LOCAL lock_timeout = '5s'")
    op.execute("DELETE FROM authorization_code WHERE person_id IS NULL")
    op.drop_constraint(op.f("ck_authorization_code_of_one"), "authorization_code")
    op.alter_column("authorization_code", "person_id", nullable=False)
    op.drop_column("authorization_code", "subject")
    for table in ("citizen_allowed", "citizen_session", "citizen_sign_in", "citizen_provider"):
        op.drop_table(table)
    op.drop_column("client", "citizens")
