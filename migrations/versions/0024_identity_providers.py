"""OpenID Connect providers of organisations, and the sign-ins that are under way at them"""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects.postgresql import ARRAY, JSONB

revision = "0024"
down_revision = "0023"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.execute("SET LOCAL lock_timeout = '5s'")
    _providers()
    op.create_table(
        "identity_provider_domain",
        sa.Column("domain", sa.Text(), nullable=False),
        sa.Column("provider_id", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("domain", name="pk_identity_provider_domain"),
        sa.ForeignKeyConstraint(
            ["provider_id"], ["identity_provider.id"],
            name="fk_identity_provider_domain_provider_id_identity_provider",
        ),
        sa.CheckConstraint("domain = lower(domain)", name="ck_identity_provider_domain_lower"),
    )
    op.create_index(
        "ix_identity_provider_domain_provider_id", "identity_provider_domain", ["provider_id"]
    )
    op.create_table(
        "sign_in_under_way",
        sa.Column("state_sha256", sa.LargeBinary(), nullable=False),
        sa.Column("provider_id", sa.Text(), nullable=False),
        sa.Column("browser_sha256", sa.LargeBinary(), nullable=False),
        sa.Column("sealed", sa.LargeBinary(), nullable=False),
        sa.Column("return_to", sa.Text(), nullable=False),
        sa.Column("person_id", sa.Text()),
        sa.Column("begun_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("expires_at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("state_sha256", name="pk_sign_in_under_way"),
        sa.ForeignKeyConstraint(
            ["provider_id"], ["identity_provider.id"],
            name="fk_sign_in_under_way_provider_id_identity_provider",
        ),
        sa.ForeignKeyConstraint(
            ["person_id"], ["person.id"], name="fk_sign_in_under_way_person_id_person"
        ),
    )
    for column in ("provider_id", "person_id", "expires_at"):
        op.create_index(f"ix_sign_in_under_way_{column}", "sign_in_under_way", [column])
    op.execute(
        "CREATE CONSTRAINT TRIGGER identity_provider_tells AFTER UPDATE OF disabled_at"
        " ON identity_provider DEFERRABLE INITIALLY DEFERRED FOR EACH ROW"
        " EXECUTE FUNCTION tell_change('all', 'id')"
    )
    op.create_foreign_key(
        "fk_person_provider_id_identity_provider", "person", "identity_provider",
        ["provider_id"], ["id"],
    )


def _providers() -> None:
    op.create_table(
        "identity_provider",
        sa.Column("id", sa.Text(), nullable=False),
        sa.Column("organization_id", sa.Text(), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("issuer", sa.Text(), nullable=False),
        sa.Column("client_id", sa.Text(), nullable=False),
        sa.Column("auth_method", sa.Text(), nullable=False),
        sa.Column("public_jwk", JSONB(none_as_null=True)),
        sa.Column("sealed_private_jwk", sa.LargeBinary()),
        sa.Column("sealed_secret", sa.LargeBinary()),
        sa.Column("group_claim", sa.Text()),
        sa.Column("groups", JSONB(), nullable=False),
        sa.Column("default_roles", ARRAY(sa.Text()), nullable=False),
        sa.Column("acr_values", ARRAY(sa.Text()), nullable=False),
        sa.Column("amr_values", ARRAY(sa.Text()), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("created_by", sa.Text(), nullable=False),
        sa.Column("disabled_at", sa.DateTime(timezone=True)),
        sa.PrimaryKeyConstraint("id", name="pk_identity_provider"),
        sa.ForeignKeyConstraint(
            ["organization_id"], ["organization.id"],
            name="fk_identity_provider_organization_id_organization",
        ),
        sa.CheckConstraint(
            "(auth_method = 'private_key_jwt' AND public_jwk IS NOT NULL"
            " AND sealed_private_jwk IS NOT NULL AND sealed_secret IS NULL)"
            " OR (auth_method = 'client_secret_basic' AND sealed_secret IS NOT NULL"
            " AND public_jwk IS NULL AND sealed_private_jwk IS NULL)",
            name="ck_identity_provider_one_credential",
        ),
    )
    op.create_index(
        "ix_identity_provider_organization_id", "identity_provider", ["organization_id"]
    )
    op.create_index(
        "uq_identity_provider_issuer_client", "identity_provider", ["issuer", "client_id"],
        unique=True,
    )


def downgrade() -> None:
    op.execute("SET LOCAL lock_timeout = '5s'")
    op.execute("SET CONSTRAINTS ALL IMMEDIATE")
    op.drop_constraint("fk_person_provider_id_identity_provider", "person", type_="foreignkey")
    op.drop_table("sign_in_under_way")
    op.drop_table("identity_provider_domain")
    op.drop_table("identity_provider")
