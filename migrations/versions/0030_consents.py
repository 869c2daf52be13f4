"""consents of the people whom records are about, and purposes for which records need them

A consent is never changed but for its withdrawal, nor is there a second one while one is in force:
what no service may do is refused here too.
"""

from typing import Any

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects.postgresql import ARRAY

revision = "0030"
down_revision = "0029"
branch_labels = None
depends_on = None

KEPT = """
CREATE FUNCTION keep_consent() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF TG_OP = 'DELETE' AND TG_TABLE_NAME = 'subject_consent_name' THEN
        -- Whose a consent was can be forgotten, once it lets nothing out any more.
        IF OLD.withdrawn_at IS NOT NULL THEN
            RETURN OLD;
        END IF;
    END IF;
    IF TG_OP = 'UPDATE' AND TG_TABLE_NAME = 'subject_consent_name' THEN
        -- With its consent's withdrawal, and with nothing else.
        IF to_jsonb(NEW) - 'withdrawn_at' = to_jsonb(OLD) - 'withdrawn_at'
           AND NEW.withdrawn_at IS NOT DISTINCT FROM
               (SELECT withdrawn_at FROM subject_consent WHERE id = NEW.consent_id) THEN
            RETURN NEW;
        END IF;
    END IF;
    IF TG_OP = 'UPDATE' AND TG_TABLE_NAME = 'subject_consent' THEN
        IF OLD.withdrawn_at IS NULL AND NEW.withdrawn_at IS NOT NULL
           AND to_jsonb(NEW) - 'withdrawn_at' - 'withdrawn_by'
               = to_jsonb(OLD) - 'withdrawn_at' - 'withdrawn_by' THEN
            RETURN NEW;
        END IF;
    END IF;
    RAISE EXCEPTION 'a consent is withdrawn, never changed or taken away'
        USING ERRCODE = 'check_violation';
END $$;

CREATE TRIGGER keep_consent_text BEFORE UPDATE OR DELETE ON consent_text
    FOR EACH ROW EXECUTE FUNCTION keep_consent();

CREATE TRIGGER keep_consent BEFORE UPDATE OR DELETE ON subject_consent
    FOR EACH ROW EXECUTE FUNCTION keep_consent();

CREATE TRIGGER keep_consent_name BEFORE UPDATE OR DELETE ON subject_consent_name
    FOR EACH ROW EXECUTE FUNCTION keep_consent();

CREATE FUNCTION withdraw_consent_names() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    UPDATE subject_consent_name SET withdrawn_at = NEW.withdrawn_at WHERE consent_id = NEW.id;
    RETURN NULL;
END $$;

CREATE TRIGGER withdraw_consent_names AFTER UPDATE ON subject_consent
    FOR EACH ROW EXECUTE FUNCTION withdraw_consent_names();

CREATE FUNCTION check_one_consent() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
    ours subject_consent;
BEGIN
    SELECT * INTO ours FROM subject_consent WHERE id = NEW.consent_id;
    IF ours.provider_id IS DISTINCT FROM NEW.organization_id THEN
        RAISE EXCEPTION 'the name is not one of the provider''s'
            USING ERRCODE = 'check_violation';
    END IF;
    NEW.text_number := (SELECT number FROM consent_text WHERE sha256 = ours.text_sha256);
    NEW.given_at := ours.given_at;
    NEW.valid_until := ours.valid_until;
    NEW.withdrawn_at := ours.withdrawn_at;
    IF ours.withdrawn_at IS NULL AND EXISTS (
        SELECT FROM subject_consent_name n JOIN subject_consent c ON c.id = n.consent_id
        WHERE (n.organization_id, n.name) = (NEW.organization_id, NEW.name)
          AND (c.dataset_id, c.consumer_id, c.purpose)
            = (ours.dataset_id, ours.consumer_id, ours.purpose)
          AND c.id <> ours.id AND c.withdrawn_at IS NULL
          AND c.given_at < ours.valid_until AND c.valid_until > ours.given_at
    ) THEN
        RAISE EXCEPTION 'a consent to the same is in force' USING ERRCODE = 'unique_violation';
    END IF;
    RETURN NEW;
END $$;

CREATE TRIGGER check_one_consent BEFORE INSERT ON subject_consent_name
    FOR EACH ROW EXECUTE FUNCTION check_one_consent();
"""


def _text(name: str, *more: sa.ForeignKey, null: bool = False) -> sa.Column[str]:
    return sa.Column(name, sa.Text(), *more, nullable=null)


def _time(name: str, *, null: bool = False) -> sa.Column[object]:
    return sa.Column(name, sa.DateTime(timezone=True), nullable=null)


def _parties(table: str) -> list[Any]:
    """What a text and a consent are on, and for whom."""
    of = {
        "dataset_id": "dataset.id",
        "provider_id": "organization.id",
        "consumer_id": "organization.id",
        "purpose": "purpose.code",
    }
    return [
        *(_text(name) for name in of),
        *(
            sa.ForeignKeyConstraint([name], [to], name=f"fk_{table}_{name}_{to.split('.')[0]}")
            for name, to in of.items()
        ),
        sa.Column("columns", ARRAY(sa.Text()), nullable=False),
        _time("valid_until"),
    ]


def upgrade() -> None:
    op.execute("SET LOCAL lock_timeout = '5s'")
    op.add_column(
        "purpose_view",
        sa.Column("consent", sa.Boolean(), nullable=False, server_default=sa.false()),
    )
    op.drop_constraint("bounds_something", "purpose_view", type_="check")
    op.create_check_constraint(
        "bounds_something", "purpose_view", "num_nonnulls(columns, rows) > 0 OR consent"
    )
    op.create_table(
        "consent_text",
        _text("sha256"),
        sa.Column("number", sa.Integer(), sa.Identity(always=True), nullable=False),
        *_parties("consent_text"),
        _text("ja"),
        _text("en"),
        _text("body"),
        _time("made_at"),
        sa.PrimaryKeyConstraint("sha256", name="pk_consent_text"),
        sa.UniqueConstraint("number", name="uq_consent_text_number"),
        sa.CheckConstraint(
            "sha256 = encode(sha256(convert_to(body, 'UTF8')), 'hex')", name="hash"
        ),
    )
    op.create_index(
        "ix_consent_text_dataset_id", "consent_text", ["dataset_id", "consumer_id", "purpose"]
    )
    op.create_table(
        "subject_consent",
        sa.Column("id", sa.Uuid(), nullable=False),
        *_parties("subject_consent"),
        _text("text_sha256"),
        _text("method"),
        _text("acr", null=True),
        _time("given_at"),
        _text("given_by"),
        _time("withdrawn_at", null=True),
        _text("withdrawn_by", null=True),
        sa.PrimaryKeyConstraint("id", name="pk_subject_consent"),
        sa.ForeignKeyConstraint(
            ["text_sha256"], ["consent_text.sha256"],
            name="fk_subject_consent_text_sha256_consent_text",
        ),
        sa.CheckConstraint("method IN ('online', 'paper')", name="method"),
        sa.CheckConstraint("(method = 'online') = (acr IS NOT NULL)", name="assurance"),
        sa.CheckConstraint("valid_until > given_at", name="period"),
        sa.CheckConstraint("num_nonnulls(withdrawn_at, withdrawn_by) IN (0, 2)", name="withdrawal"),
    )  # fmt: skip
    op.create_index("ix_subject_consent_provider_id", "subject_consent", ["provider_id", "id"])
    op.create_index("ix_subject_consent_consumer_id", "subject_consent", ["consumer_id", "id"])
    op.create_table(
        "subject_consent_name",
        sa.Column("consent_id", sa.Uuid(), nullable=False),
        _text("name"),
        _text("organization_id"),
        sa.Column("text_number", sa.Integer(), nullable=False),
        _time("given_at"),
        _time("valid_until"),
        _time("withdrawn_at", null=True),
        sa.PrimaryKeyConstraint("consent_id", "name", name="pk_subject_consent_name"),
        sa.ForeignKeyConstraint(
            ["consent_id"], ["subject_consent.id"],
            name="fk_subject_consent_name_consent_id_subject_consent",
        ),
    )  # fmt: skip
    op.create_index(
        "ix_subject_consent_name_name", "subject_consent_name", ["name"],
        postgresql_include=["text_number", "given_at", "valid_until", "withdrawn_at"],
    )  # fmt: skip
    op.create_index(
        "ix_subject_consent_name_in_force", "subject_consent_name", ["text_number", "name"],
        postgresql_include=["given_at", "valid_until"],
        postgresql_where=sa.text("withdrawn_at IS NULL"),
    )  # fmt: skip
    for statement in KEPT.split("\n\n"):
        op.execute(statement)


def downgrade() -> None:
    op.execute("SET LOCAL lock_timeout = '5s'")
    op.drop_table("subject_consent_name")
    op.drop_table("subject_consent")
    op.drop_table("consent_text")
    op.execute("DROP FUNCTION keep_consent, check_one_consent, withdraw_consent_names")
    # Below, nothing would ask for consent any more: such a purpose is let nothing out for.
    op.execute("SET CONSTRAINTS ALL IMMEDIATE")
    op.execute("UPDATE purpose_view SET columns = '{}' WHERE consent")
    op.execute("SET CONSTRAINTS ALL IMMEDIATE")
    op.drop_constraint("bounds_something", "purpose_view", type_="check")
    op.drop_column("purpose_view", "consent")
    op.create_check_constraint(
        "bounds_something", "purpose_view", "num_nonnulls(columns, rows) > 0"
    )
