"""quality of each version; what the steward says of repairs; needs and their replies"""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table('quality',
    sa.Column('dataset_id', sa.Text(), nullable=False),
    sa.Column('number', sa.Integer(), nullable=False),
    sa.Column('revision', sa.BigInteger(), nullable=False),
    sa.Column('measured_at', sa.DateTime(timezone=True), nullable=False),
    sa.Column('measures', postgresql.JSONB(none_as_null=True, astext_type=sa.Text()), nullable=False),
    sa.Column('score', sa.Numeric(precision=5, scale=2), nullable=False),
    sa.ForeignKeyConstraint(['dataset_id', 'number'], ['version.dataset_id', 'version.number'], name='fk_quality_dataset_id_version', ondelete='CASCADE'),
    sa.PrimaryKeyConstraint('dataset_id', 'number', name='pk_quality')
    )
    op.create_table('repair_count',
    sa.Column('run_id', sa.Uuid(), nullable=False),
    sa.Column('field', sa.Text(), nullable=False),
    sa.Column('rule', sa.Text(), nullable=False),
    sa.Column('cells', sa.BigInteger(), nullable=False),
    sa.Column('first_row', sa.BigInteger(), nullable=False),
    sa.ForeignKeyConstraint(['run_id'], ['run.id'], name='fk_repair_count_run_id_run', ondelete='CASCADE'),
    sa.PrimaryKeyConstraint('run_id', 'field', 'rule', name='pk_repair_count')
    )
    op.create_table('repair_decision',
    sa.Column('dataset_id', sa.Text(), nullable=False),
    sa.Column('field', sa.Text(), nullable=False),
    sa.Column('rule', sa.Text(), nullable=False),
    sa.Column('decision', sa.Text(), nullable=False),
    sa.Column('decided_at', sa.DateTime(timezone=True), nullable=False),
    sa.Column('decided_by', sa.Text(), nullable=False),
    sa.Column('reading_changed_at', sa.DateTime(timezone=True), nullable=True),
    sa.CheckConstraint("decision IN ('accept', 'refuse')", name=op.f('ck_repair_decision_decision')),
    sa.ForeignKeyConstraint(['dataset_id'], ['dataset.id'], name='fk_repair_decision_dataset_id_dataset'),
    sa.PrimaryKeyConstraint('dataset_id', 'field', 'rule', name='pk_repair_decision')
    )
    op.create_table('need',
    sa.Column('id', sa.Uuid(), nullable=False),
    sa.Column('addressed_id', sa.Text(), nullable=False),
    sa.Column('municipality', sa.Text(), nullable=True),
    sa.Column('dataset_id', sa.Text(), nullable=True),
    sa.Column('title', sa.Text(), nullable=False),
    sa.Column('text', sa.Text(), nullable=False),
    sa.Column('state', sa.Text(), nullable=False),
    sa.Column('asker_id', sa.Text(), nullable=False),
    sa.Column('created_at', sa.DateTime(timezone=True), nullable=False),
    sa.Column('created_by', sa.Text(), nullable=False),
    sa.Column('closed_at', sa.DateTime(timezone=True), nullable=True),
    sa.Column('closed_by', sa.Text(), nullable=True),
    sa.Column('closed_with', sa.Text(), nullable=True),
    sa.CheckConstraint("state IN ('open', 'answered', 'closed')", name=op.f('ck_need_state')),
    sa.CheckConstraint("(state = 'closed') = (closed_at IS NOT NULL AND closed_by IS NOT NULL AND closed_with IS NOT NULL)", name=op.f('ck_need_closed_with_a_dataset')),
    sa.ForeignKeyConstraint(['addressed_id'], ['organization.id'], name='fk_need_addressed_id_organization'),
    sa.ForeignKeyConstraint(['asker_id'], ['organization.id'], name='fk_need_asker_id_organization'),
    sa.ForeignKeyConstraint(['closed_with'], ['dataset.id'], name='fk_need_closed_with_dataset'),
    sa.ForeignKeyConstraint(['dataset_id'], ['dataset.id'], name='fk_need_dataset_id_dataset'),
    sa.PrimaryKeyConstraint('id', name='pk_need')
    )
    op.create_index('ix_need_addressed_id', 'need', ['addressed_id'], unique=False)
    op.create_index('ix_need_dataset_id', 'need', ['dataset_id'], unique=False)
    op.create_index('ix_need_created', 'need', ['created_at', 'id'], unique=False)
    op.create_table('need_reply',
    sa.Column('id', sa.BigInteger(), sa.Identity(always=True), nullable=False),
    sa.Column('need_id', sa.Uuid(), nullable=False),
    sa.Column('organization_id', sa.Text(), nullable=False),
    sa.Column('text', sa.Text(), nullable=False),
    sa.Column('replied_at', sa.DateTime(timezone=True), nullable=False),
    sa.Column('replied_by', sa.Text(), nullable=False),
    sa.ForeignKeyConstraint(['need_id'], ['need.id'], name='fk_need_reply_need_id_need', ondelete='CASCADE'),
    sa.ForeignKeyConstraint(['organization_id'], ['organization.id'], name='fk_need_reply_organization_id_organization'),
    sa.PrimaryKeyConstraint('id', name='pk_need_reply')
    )
    op.create_index('ix_need_reply_need_id', 'need_reply', ['need_id'], unique=False)


def downgrade() -> None:
    op.drop_table('need_reply')
    op.drop_table('need')
    op.drop_table('repair_decision')
    op.drop_table('repair_count')
    op.drop_table('quality')
