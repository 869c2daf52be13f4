"""what answers for a dataset at request time, and who is told when that changes"""

import sqlalchemy as sa
from alembic import op

revision = "0041"
down_revision = "0040"
branch_labels = None
depends_on = None

# A harvest writes to its feed each time: only what a reader's answer comes of is told.
TOLD = """
CREATE CONSTRAINT TRIGGER connector_feed_tells
    AFTER INSERT OR DELETE OR UPDATE OF connector_id, mode, selection, mapping, stale_for_seconds
    ON connector_feed DEFERRABLE INITIALLY DEFERRED FOR EACH ROW
    EXECUTE FUNCTION tell_change('dataset', 'dataset_id');

CREATE FUNCTION tell_connector_datasets() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
    told text;
    reached bigint;
BEGIN
    FOR told IN SELECT dataset_id FROM connector_feed
                WHERE connector_id = NEW.id AND mode = 'live' LOOP
        UPDATE epoch SET value = value + 1 RETURNING value INTO reached;
        PERFORM pg_notify('urbanos', 'dataset:' || told || ':' || reached);
    END LOOP;
    RETURN NULL;
END $$;
CREATE CONSTRAINT TRIGGER connector_tells AFTER UPDATE ON connector
    DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION tell_connector_datasets();
"""


def upgrade() -> None:
    op.execute("SET LOCAL lock_timeout = '5s'")
    op.add_column("connector_feed", sa.Column("stale_for_seconds", sa.Integer()))
    # Several statements at once: a prepared one cannot be that.
    connection = op.get_bind().connection.dbapi_connection
    connection.run_async(lambda driver: driver.execute(TOLD))


def downgrade() -> None:
    op.execute("SET LOCAL lock_timeout = '5s'")
    op.execute("DROP TRIGGER connector_tells ON connector")
    op.execute("DROP FUNCTION tell_connector_datasets()")
    op.execute("DROP TRIGGER connector_feed_tells ON connector_feed")
    # The former release knows no other mode: what it does not harvest it asks for when told to.
    op.execute("UPDATE connector_feed SET mode = 'harvest' WHERE mode = 'live'")
    op.drop_column("connector_feed", "stale_for_seconds")
