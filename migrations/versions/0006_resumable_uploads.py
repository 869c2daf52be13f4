"""uploads in parts, runs that can be stopped"""

from alembic import op
import sqlalchemy as sa

revision = "0006"
down_revision = "0005"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table('upload_in_parts',
    sa.Column('upload_id', sa.Uuid(), nullable=False),
    sa.Column('dataset_id', sa.Text(), nullable=False),
    sa.Column('organization_id', sa.Text(), nullable=False),
    sa.Column('created_by', sa.Text(), nullable=False),
    sa.Column('length', sa.BigInteger(), nullable=False),
    sa.Column('metadata', sa.Text(), nullable=False),
    sa.Column('expires_at', sa.DateTime(timezone=True), nullable=False),
    sa.ForeignKeyConstraint(['dataset_id'], ['dataset.id'], name='fk_upload_in_parts_dataset_id_dataset'),
    sa.ForeignKeyConstraint(['upload_id'], ['upload.id'], name='fk_upload_in_parts_upload_id_upload'),
    sa.PrimaryKeyConstraint('upload_id', name='pk_upload_in_parts')
    )
    op.create_index('ix_upload_in_parts_expires_at', 'upload_in_parts', ['expires_at'], unique=False)
    op.add_column('run', sa.Column('cancel_requested_at', sa.DateTime(timezone=True), nullable=True))


def downgrade() -> None:
    op.drop_column('run', 'cancel_requested_at')
    # What is unfinished here could never be finished below.
    op.execute("""
        DELETE FROM upload_chunk c USING upload_in_parts p
        WHERE c.upload_id = p.upload_id
          AND NOT EXISTS (SELECT FROM run r WHERE r.upload_id = p.upload_id)
    """)
    op.execute("CREATE TEMPORARY TABLE left_over AS SELECT upload_id FROM upload_in_parts p"
               " WHERE NOT EXISTS (SELECT FROM run r WHERE r.upload_id = p.upload_id)")
    op.drop_index('ix_upload_in_parts_expires_at', table_name='upload_in_parts')
    op.drop_table('upload_in_parts')
    op.execute("DELETE FROM upload u USING left_over l WHERE u.id = l.upload_id")
    op.execute("DROP TABLE left_over")
