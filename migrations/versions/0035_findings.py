"""findings, the rules that make them, and who is told of them"""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects.postgresql import JSONB

revision = "0035"
down_revision = "0034"
branch_labels = None
depends_on = None

TIME = sa.DateTime(timezone=True)
STATES = "'open', 'acknowledged', 'resolved', 'dismissed'"
SEVERITIES = "'low', 'medium', 'high', 'critical'"
# The rules that judge the log begin where it ends now: nobody is told of what was long ago.
MARKS = """
INSERT INTO alert_mark (rule, seq)
SELECT rule, seq FROM log_head,
    unnest(ARRAY['bulk_read', 'off_hours', 'refused_in_a_row', 'expiring_agreement']) rule
"""
BEGINS = """
CREATE FUNCTION check_finding_begins() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF NEW.state <> 'open' THEN
        RAISE EXCEPTION 'a finding cannot begin as %', NEW.state USING ERRCODE = 'check_violation';
    END IF;
    RETURN NEW;
END $$
"""
GOES_ON = """
CREATE FUNCTION check_finding_transition() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    -- Of what ended only the log may still have to hear.
    IF OLD.state IN ('resolved', 'dismissed')
           AND to_jsonb(NEW) - 'is_logged' IS DISTINCT FROM to_jsonb(OLD) - 'is_logged'
       OR (NEW.state = 'open' AND OLD.state <> 'open')
       OR NEW.seen < OLD.seen OR NEW.last_seen_at < OLD.last_seen_at
       OR (NEW.id, NEW.rule, NEW.subject_kind, NEW.subject_id, NEW.dataset_id, NEW.opened_at)
          IS DISTINCT FROM
          (OLD.id, OLD.rule, OLD.subject_kind, OLD.subject_id, OLD.dataset_id, OLD.opened_at) THEN
        RAISE EXCEPTION 'a finding cannot go from % to % so', OLD.state, NEW.state
            USING ERRCODE = 'check_violation';
    END IF;
    RETURN NEW;
END $$
"""
HAS_HISTORY = """
CREATE FUNCTION require_finding_change() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF NOT EXISTS (SELECT FROM finding_change
                   WHERE finding_id = NEW.id AND state = NEW.state) THEN
        RAISE EXCEPTION 'nobody says who made the finding %', NEW.state
            USING ERRCODE = 'check_violation';
    END IF;
    RETURN NULL;
END $$
"""
STAYS = """
CREATE FUNCTION refuse_other_history() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION 'what was found and done about it stays' USING ERRCODE = 'check_violation';
END $$
"""
TRIGGERS = (
    "TRIGGER finding_begins BEFORE INSERT ON finding"
    " FOR EACH ROW EXECUTE FUNCTION check_finding_begins",
    "TRIGGER finding_transition BEFORE UPDATE ON finding"
    " FOR EACH ROW EXECUTE FUNCTION check_finding_transition",
    "CONSTRAINT TRIGGER finding_has_history AFTER INSERT OR UPDATE ON finding"
    " DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION require_finding_change",
    "TRIGGER finding_stays BEFORE DELETE OR TRUNCATE ON finding"
    " FOR EACH STATEMENT EXECUTE FUNCTION refuse_other_history",
    "TRIGGER finding_change_stays BEFORE UPDATE OR DELETE OR TRUNCATE ON finding_change"
    " FOR EACH STATEMENT EXECUTE FUNCTION refuse_other_history",
)


def upgrade() -> None:
    op.execute("SET LOCAL lock_timeout = '5s'")
    _make_findings()
    _make_rules()
    _make_channels()
    for function in (BEGINS, GOES_ON, HAS_HISTORY, STAYS):
        op.execute(function)
    for trigger in TRIGGERS:
        op.execute(f"CREATE {trigger}()")


def _make_findings() -> None:
    op.create_table(
        "finding",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("rule", sa.Text(), nullable=False),
        sa.Column("subject_kind", sa.Text(), nullable=False),
        sa.Column("subject_id", sa.Text(), nullable=False),
        sa.Column("dataset_id", sa.Text()),
        sa.Column("severity", sa.Text(), nullable=False),
        sa.Column("ja", sa.Text(), nullable=False),
        sa.Column("en", sa.Text(), nullable=False),
        sa.Column("owner_id", sa.Text()),
        sa.Column("person_id", sa.Text()),
        sa.Column("state", sa.Text(), nullable=False),
        sa.Column("seen", sa.BigInteger(), nullable=False),
        sa.Column("opened_at", TIME, nullable=False),
        sa.Column("last_seen_at", TIME, nullable=False),
        sa.Column("due_at", TIME, nullable=False),
        sa.Column("closed_at", TIME),
        sa.Column("is_logged", sa.Boolean(), nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_finding"),
        sa.ForeignKeyConstraint(["dataset_id"], ["dataset.id"], name="fk_finding_dataset_id_dataset"),
        sa.ForeignKeyConstraint(["owner_id"], ["organization.id"], name="fk_finding_owner_id_organization"),
        sa.ForeignKeyConstraint(["person_id"], ["person.id"], name="fk_finding_person_id_person"),
        sa.CheckConstraint(f"state IN ({STATES})", name="ck_finding_state"),
        sa.CheckConstraint(f"severity IN ({SEVERITIES})", name="ck_finding_severity"),
        sa.CheckConstraint("seen >= 1", name="ck_finding_seen"),
        sa.CheckConstraint("due_at > opened_at", name="ck_finding_due"),
        sa.CheckConstraint(
            "(state IN ('resolved', 'dismissed')) = (closed_at IS NOT NULL)", name="ck_finding_closed"
        ),
    )
    op.create_index(
        "uq_finding_standing", "finding", ["rule", "subject_kind", "subject_id", "dataset_id"],
        unique=True, postgresql_nulls_not_distinct=True,
        postgresql_where=sa.text("state IN ('open', 'acknowledged')"),
    )
    op.create_index("ix_finding_opened", "finding", ["opened_at", "id"])
    op.create_index("ix_finding_dataset_id", "finding", ["dataset_id"])
    op.create_index("ix_finding_owner_id", "finding", ["owner_id"])
    op.create_table(
        "finding_change",
        sa.Column("id", sa.BigInteger(), sa.Identity(always=True), nullable=False),
        sa.Column("finding_id", sa.Uuid(), nullable=False),
        sa.Column("at", TIME, nullable=False),
        sa.Column("by", sa.Text(), nullable=False),
        sa.Column("state", sa.Text(), nullable=False),
        sa.Column("note", sa.Text()),
        sa.PrimaryKeyConstraint("id", name="pk_finding_change"),
        sa.ForeignKeyConstraint(["finding_id"], ["finding.id"], name="fk_finding_change_finding_id_finding"),
    )
    op.create_index("ix_finding_change_finding_id", "finding_change", ["finding_id"])


def _make_rules() -> None:
    op.create_table(
        "alert_rule_setting",
        sa.Column("rule", sa.Text(), nullable=False),
        sa.Column("enabled", sa.Boolean(), nullable=False),
        sa.Column("given", JSONB(), nullable=False),
        sa.Column("set_at", TIME, nullable=False),
        sa.Column("set_by", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("rule", name="pk_alert_rule_setting"),
    )
    op.create_table(
        "alert_mark",
        sa.Column("rule", sa.Text(), nullable=False),
        sa.Column("seq", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("rule", name="pk_alert_mark"),
    )
    op.create_table(
        "alert_tally",
        sa.Column("rule", sa.Text(), nullable=False),
        sa.Column("subject_kind", sa.Text(), nullable=False),
        sa.Column("subject_id", sa.Text(), nullable=False),
        sa.Column("dataset_id", sa.Text(), nullable=False),
        sa.Column("amounts", JSONB(), nullable=False),
        sa.Column("changed_at", TIME, nullable=False),
        sa.PrimaryKeyConstraint("rule", "subject_kind", "subject_id", "dataset_id", name="pk_alert_tally"),
    )
    op.create_index("ix_alert_tally_changed_at", "alert_tally", ["changed_at"])
    op.execute(MARKS)


def _make_channels() -> None:
    op.create_table(
        "alert_channel",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("organization_id", sa.Text()),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("target", sa.Text(), nullable=False),
        sa.Column("min_severity", sa.Text(), nullable=False),
        sa.Column("sealed_secret", sa.LargeBinary()),
        sa.Column("created_at", TIME, nullable=False),
        sa.Column("created_by", sa.Text(), nullable=False),
        sa.Column("sending_until", TIME),
        sa.Column("delivered_at", TIME),
        sa.Column("failed_at", TIME),
        sa.Column("failure", sa.Text()),
        sa.PrimaryKeyConstraint("id", name="pk_alert_channel"),
        sa.ForeignKeyConstraint(
            ["organization_id"], ["organization.id"], name="fk_alert_channel_organization_id_organization"
        ),
        sa.CheckConstraint("kind IN ('webhook', 'mail')", name="ck_alert_channel_kind"),
        sa.CheckConstraint(
            "(kind = 'webhook') = (sealed_secret IS NOT NULL)", name="ck_alert_channel_secret"
        ),
        sa.CheckConstraint(f"min_severity IN ({SEVERITIES})", name="ck_alert_channel_min_severity"),
    )
    op.create_index("ix_alert_channel_organization_id", "alert_channel", ["organization_id"])
    op.create_table(
        "alert_delivery",
        sa.Column("id", sa.BigInteger(), sa.Identity(always=True), nullable=False),
        sa.Column("message_id", sa.Text(), nullable=False),
        sa.Column("channel_id", sa.Uuid(), nullable=False),
        sa.Column("message", JSONB(), nullable=False),
        sa.Column("state", sa.Text(), nullable=False),
        sa.Column("attempts", sa.Integer(), nullable=False),
        sa.Column("created_at", TIME, nullable=False),
        sa.Column("next_at", TIME, nullable=False),
        sa.Column("ended_at", TIME),
        sa.PrimaryKeyConstraint("id", name="pk_alert_delivery"),
        sa.UniqueConstraint("message_id", name="uq_alert_delivery_message_id"),
        sa.ForeignKeyConstraint(
            ["channel_id"], ["alert_channel.id"], ondelete="CASCADE",
            name="fk_alert_delivery_channel_id_alert_channel",
        ),
        sa.CheckConstraint("state IN ('waiting', 'delivered', 'failed')", name="ck_alert_delivery_state"),
    )
    op.create_index(
        "ix_alert_delivery_waiting", "alert_delivery", ["channel_id", "id"],
        postgresql_where=sa.text("state = 'waiting'"),
    )


def downgrade() -> None:
    op.execute("SET LOCAL lock_timeout = '5s'")
    for table in (
        "alert_delivery", "alert_channel", "alert_tally", "alert_mark", "alert_rule_setting",
        "finding_change", "finding",
    ):
        op.drop_table(table)
    for function in (
        "refuse_other_history", "require_finding_change", "check_finding_transition",
        "check_finding_begins",
    ):
        op.execute(f"DROP FUNCTION {function}")
