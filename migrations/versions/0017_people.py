"""members of staff and their sessions; clients that people sign in to"""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects.postgresql import ARRAY

revision = "0017"
down_revision = "0016"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.execute("SET LOCAL lock_timeout = '5s'")
    op.create_table(
        "person",
        sa.Column("id", sa.Text(), nullable=False),
        sa.Column("organization_id", sa.Text(), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("email", sa.Text(), nullable=False),
        sa.Column("roles", ARRAY(sa.Text()), nullable=False),
        sa.Column("provider_id", sa.Text()),
        sa.Column("subject", sa.Text()),
        sa.Column("password_hash", sa.Text()),
        sa.Column("totp_sealed", sa.LargeBinary()),
        sa.Column("totp_confirmed_at", sa.DateTime(timezone=True)),
        sa.Column("totp_step", sa.BigInteger()),
        sa.Column("failures", sa.Integer(), nullable=False),
        sa.Column("locked_until", sa.DateTime(timezone=True)),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("created_by", sa.Text(), nullable=False),
        sa.Column("disabled_at", sa.DateTime(timezone=True)),
        sa.PrimaryKeyConstraint("id", name="pk_person"),
        sa.ForeignKeyConstraint(
            ["organization_id"], ["organization.id"], name="fk_person_organization_id_organization"
        ),
        sa.CheckConstraint("id LIKE 'person:%'", name="ck_person_id_is_no_clients"),
        sa.CheckConstraint(
            "num_nonnulls(provider_id, subject) IN (0, 2)", name="ck_person_provider_subject"
        ),
        sa.CheckConstraint(
            "provider_id IS NULL OR password_hash IS NULL", name="ck_person_one_way_in"
        ),
    )
    op.create_index("ix_person_organization_id", "person", ["organization_id"])
    op.create_index("uq_person_email", "person", [sa.text("lower(email)")], unique=True)
    op.create_index(
        "uq_person_provider_subject", "person", ["provider_id", "subject"], unique=True
    )
    op.execute(
        "CREATE CONSTRAINT TRIGGER person_tells AFTER INSERT OR DELETE"
        " OR UPDATE OF organization_id, roles, disabled_at ON person"
        " DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION tell_change('person', 'id')"
    )
    op.create_table(
        "person_session",
        sa.Column("secret_sha256", sa.LargeBinary(), nullable=False),
        sa.Column("person_id", sa.Text(), nullable=False),
        sa.Column("methods", ARRAY(sa.Text()), nullable=False),
        sa.Column("signed_in_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("second_factor_at", sa.DateTime(timezone=True)),
        sa.Column("seen_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("expires_at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("secret_sha256", name="pk_person_session"),
        sa.ForeignKeyConstraint(
            ["person_id"], ["person.id"], name="fk_person_session_person_id_person"
        ),
    )
    op.create_index("ix_person_session_person_id", "person_session", ["person_id"])
    op.create_index("ix_person_session_expires_at", "person_session", ["expires_at"])
    for name in ("redirect_uris", "staff_of"):
        op.add_column(
            "client", sa.Column(name, ARRAY(sa.Text()), nullable=False, server_default="{}")
        )
        op.alter_column("client", name, server_default=None)


def downgrade() -> None:
    op.execute("SET LOCAL lock_timeout = '5s'")
    op.execute("SET CONSTRAINTS ALL IMMEDIATE")
    op.drop_column("client", "staff_of")
    op.drop_column("client", "redirect_uris")
    op.drop_table("person_session")
    op.drop_table("person")
