"""clients that prove themselves by a certificate, and whose tokens are bound to it (RFC 8705)"""

import sqlalchemy as sa
from alembic import op

revision = "0019"
down_revision = "0018"
branch_labels = None
depends_on = None

# The convention of names puts ck_client_ before both: 0001 has it twice in the database.
_OLD = "ck_client_one_credential"
_NEW = "one_credential"
_BEFORE = (
    "(auth_method = 'private_key_jwt' AND jwks IS NOT NULL AND secret_hash IS NULL)"
    " OR (auth_method = 'client_secret_basic' AND secret_hash IS NOT NULL)"
)
_AFTER = (
    "(auth_method = 'private_key_jwt' AND jwks IS NOT NULL"
    " AND num_nonnulls(secret_hash, tls_subject) = 0)"
    " OR (auth_method = 'client_secret_basic' AND secret_hash IS NOT NULL"
    " AND tls_subject IS NULL)"
    " OR (auth_method = 'tls_client_auth' AND tls_subject IS NOT NULL"
    " AND num_nonnulls(jwks, secret_hash) = 0)"
)


def upgrade() -> None:
    op.execute("SET LOCAL lock_timeout = '5s'")
    op.add_column("client", sa.Column("tls_subject", sa.Text()))
    op.add_column(
        "client",
        sa.Column("certificate_bound", sa.Boolean(), nullable=False, server_default="false"),
    )
    op.alter_column("client", "certificate_bound", server_default=None)
    op.drop_constraint(_OLD, "client", type_="check")
    op.create_check_constraint(_NEW, "client", _AFTER)


def downgrade() -> None:
    op.execute("SET LOCAL lock_timeout = '5s'")
    # A client that only a certificate proves cannot be told of any more, and may not ask either:
    # it is revoked, with a secret that nobody knows.
    op.drop_constraint(_NEW, "client", type_="check")
    op.execute(
        "UPDATE client SET revoked_at = coalesce(revoked_at, now()), secret_hash = '-',"
        " auth_method = 'client_secret_basic' WHERE auth_method = 'tls_client_auth'"
    )
    # A deferred trigger that waits would stand in the way of the columns' end.
    op.execute("SET CONSTRAINTS ALL IMMEDIATE")
    op.create_check_constraint(_OLD, "client", _BEFORE)
    op.drop_column("client", "certificate_bound")
    op.drop_column("client", "tls_subject")
