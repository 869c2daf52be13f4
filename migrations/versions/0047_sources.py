"""notices of sources that ask for harvests; the zone of an agent, and the agreement of its job; how often
a stream began; for whom other platforms may speak"""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects.postgresql import JSONB

revision = "0047"
down_revision = "0046"
branch_labels = None
depends_on = None


# An agent stands where the connectors are that its sources answer, where all are of one zone.
_ZONE_OF_ITS_CONNECTORS = """
UPDATE agent SET zone = its.zone FROM (
    SELECT agent.id, min(connector.zone) AS zone FROM agent
    JOIN connector ON connector.kind = 'agent'
     AND connector.organization_id = agent.organization_id
     AND connector.settings->>'source' = ANY(agent.sources)
    GROUP BY agent.id HAVING count(DISTINCT connector.zone) = 1
) its WHERE its.id = agent.id
"""


def _zone() -> "sa.Column[str]":
    return sa.Column("zone", sa.Text(), nullable=False, server_default="internet")


def upgrade() -> None:
    op.execute("SET LOCAL lock_timeout = '5s'")
    op.add_column("connector_feed", sa.Column("notice_sha256", sa.LargeBinary()))
    op.add_column("connector_feed", sa.Column("noticed_at", sa.DateTime(timezone=True)))
    connections = sa.Column("connections", sa.BigInteger(), nullable=False, server_default="0")
    op.add_column("connector_stream", connections)
    op.add_column(
        "client", sa.Column("speaks_for", JSONB(), nullable=False, server_default=sa.text("'[]'"))
    )
    op.alter_column("client", "speaks_for", server_default=None)
    op.add_column("agent", _zone())
    op.execute(_ZONE_OF_ITS_CONNECTORS)
    op.alter_column("agent", "zone", server_default=None)
    # Nobody waits for what an agent was asked for before; what was carried here is of its zone.
    op.add_column("agent_job", _zone())
    op.execute("UPDATE agent_job SET zone = agent.zone FROM agent WHERE agent.id = agent_id")
    op.alter_column("agent_job", "zone", server_default=None)
    op.add_column("agent_job", sa.Column("agreement_id", sa.Uuid()))


def downgrade() -> None:
    op.execute("SET LOCAL lock_timeout = '5s'")
    op.drop_column("agent_job", "agreement_id")
    op.drop_column("agent_job", "zone")
    op.drop_column("agent", "zone")
    op.drop_column("client", "speaks_for")
    op.drop_column("connector_stream", "connections")
    op.drop_column("connector_feed", "noticed_at")
    op.drop_column("connector_feed", "notice_sha256")
