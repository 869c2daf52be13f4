"""profiles: states, rules, code lists, succession"""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None

JSON = postgresql.JSONB(none_as_null=True, astext_type=sa.Text())
TIME = sa.DateTime(timezone=True)


def columns() -> list[sa.Column]:
    return [
        sa.Column("rules", JSON, server_default=sa.text("'[]'::jsonb"), nullable=False),
        sa.Column("mapping", JSON),
        sa.Column("edition", sa.Text()),
        sa.Column("source", sa.Text()),
        sa.Column("confidence", sa.Text()),
        sa.Column("owner_id", sa.Text()),
        sa.Column("published_at", TIME),
        sa.Column("deprecated_at", TIME),
        sa.Column("sunset_at", TIME),
        sa.Column("successor_name", sa.Text()),
        sa.Column("successor_version", sa.Integer()),
        sa.Column("note_ja", sa.Text()),
        sa.Column("note_en", sa.Text()),
    ]


# What readers were told of a published version holds for ever; only its dates and note move on.
UNCHANGING = """
CREATE FUNCTION keep_published_profile() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF OLD.published_at IS NULL THEN
        RETURN CASE TG_OP WHEN 'DELETE' THEN OLD ELSE NEW END;
    END IF;
    IF TG_OP = 'DELETE'
        OR (OLD.name, OLD.version, OLD.fields, OLD.rules, OLD.mapping, OLD.published_at)
           IS DISTINCT FROM
           (NEW.name, NEW.version, NEW.fields, NEW.rules, NEW.mapping, NEW.published_at)
    THEN
        RAISE EXCEPTION 'profile %/% is published and never changes', OLD.name, OLD.version
            USING ERRCODE = 'integrity_constraint_violation';
    END IF;
    RETURN NEW;
END $$;
"""
TRIGGER = """
CREATE TRIGGER keep_published_profile BEFORE UPDATE OR DELETE ON profile
    FOR EACH ROW EXECUTE FUNCTION keep_published_profile();
"""


def upgrade() -> None:
    for column in columns():
        op.add_column("profile", column)
    op.create_check_constraint(
        op.f("ck_profile_sunset_after_deprecation"), "profile", "sunset_at >= deprecated_at"
    )
    op.create_check_constraint(
        op.f("ck_profile_successor_is_whole"),
        "profile",
        "(successor_name IS NULL) = (successor_version IS NULL)",
    )
    # Until now every version was published as it was registered, by a client of its organisation.
    op.execute("UPDATE profile SET published_at = created_at")
    op.execute(
        "UPDATE profile SET owner_id = client.organization_id FROM client"
        " WHERE client.id = profile.created_by"
    )
    op.execute(UNCHANGING)
    op.execute(TRIGGER)


def downgrade() -> None:
    op.execute("DROP TRIGGER keep_published_profile ON profile")
    op.execute("DROP FUNCTION keep_published_profile()")
    op.drop_constraint(op.f("ck_profile_successor_is_whole"), "profile")
    op.drop_constraint(op.f("ck_profile_sunset_after_deprecation"), "profile")
    for column in reversed(columns()):
        op.drop_column("profile", column.name)
