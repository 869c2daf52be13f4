"""the field that names the person of a record, and names of people that no two organisations share"""

import sqlalchemy as sa
from alembic import op

revision = "0028"
down_revision = "0027"
branch_labels = None
depends_on = None

# Roles are the whole cluster's: another database of it may have made this one, or be making it.
# To become it is allowed, to have its rights at hand is not: each use of them is asked for.
ROLE = """
DO $$
BEGIN
    IF NOT EXISTS (SELECT FROM pg_roles WHERE rolname = 'urbanos_linker') THEN
        BEGIN
            CREATE ROLE urbanos_linker NOLOGIN;
        EXCEPTION WHEN duplicate_object OR unique_violation THEN NULL;
        END;
    END IF;
    IF NOT (SELECT rolsuper FROM pg_roles WHERE rolname = current_user)
       AND NOT pg_has_role(current_user, 'urbanos_linker', 'SET') THEN
        EXECUTE format('GRANT urbanos_linker TO %I WITH INHERIT FALSE, SET TRUE', current_user);
    END IF;
EXCEPTION WHEN insufficient_privilege THEN
    RAISE EXCEPTION 'a superuser must first say: CREATE ROLE urbanos_linker NOLOGIN (once), '
        'GRANT urbanos_linker TO % WITH INHERIT FALSE, SET TRUE', quote_ident(current_user)
        USING ERRCODE = 'insufficient_privilege';
END $$
"""
TABLES = """
CREATE TABLE linker.person (
    ref bytea PRIMARY KEY CHECK (length(ref) = 16),
    made_at timestamptz NOT NULL DEFAULT now()
);
CREATE TABLE linker.key (
    holder text NOT NULL,
    number integer NOT NULL,
    sealed bytea NOT NULL,
    made_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (holder, number)
);
CREATE TABLE linker.name (
    organization_id text NOT NULL,
    name text NOT NULL,
    person_ref bytea NOT NULL REFERENCES linker.person ON DELETE CASCADE,
    key_number integer NOT NULL,
    PRIMARY KEY (organization_id, name),
    UNIQUE (person_ref, organization_id, key_number)
);
CREATE TABLE linker.identity (
    digest bytea PRIMARY KEY,
    person_ref bytea NOT NULL REFERENCES linker.person ON DELETE CASCADE
);
CREATE INDEX ix_identity_person ON linker.identity (person_ref);
"""


def upgrade() -> None:
    op.execute("SET LOCAL lock_timeout = '5s'")
    op.add_column("dataset", sa.Column("subject", sa.Text(), nullable=True))
    op.execute(ROLE)
    op.execute("CREATE SCHEMA linker AUTHORIZATION urbanos_linker")
    op.execute("SET LOCAL ROLE urbanos_linker")
    for statement in TABLES.split(";\n"):
        if statement.strip():
            op.execute(statement)
    op.execute("RESET ROLE")


def downgrade() -> None:
    op.execute("SET LOCAL lock_timeout = '5s'")
    op.execute("SET LOCAL ROLE urbanos_linker")
    op.execute("DROP SCHEMA linker CASCADE")
    op.execute("RESET ROLE")
    op.drop_column("dataset", "subject")
