"""invitations, terms of use, tenant groups, what time a dataset covers"""

from alembic import op
import sqlalchemy as sa
from sqlalchemy.dialects import postgresql

revision = "0007"
down_revision = "0006"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table('invitation_attempts',
    sa.Column('source_sha256', sa.LargeBinary(), nullable=False),
    sa.Column('window_at', sa.DateTime(timezone=True), nullable=False),
    sa.Column('attempts', sa.Integer(), nullable=False),
    sa.PrimaryKeyConstraint('source_sha256', 'window_at', name='pk_invitation_attempts')
    )
    op.create_index('ix_invitation_attempts_window_at', 'invitation_attempts', ['window_at'], unique=False)
    op.create_table('terms_version',
    sa.Column('number', sa.Integer(), autoincrement=False, nullable=False),
    sa.Column('text_ja', sa.Text(), nullable=False),
    sa.Column('text_en', sa.Text(), nullable=False),
    sa.Column('text_sha256', sa.Text(), nullable=False),
    sa.Column('valid_from', sa.Date(), nullable=False),
    sa.Column('required_from', sa.Date(), nullable=False),
    sa.Column('published_at', sa.DateTime(timezone=True), nullable=False),
    sa.Column('published_by', sa.Text(), nullable=False),
    sa.CheckConstraint('required_from >= valid_from', name='ck_terms_version_grace'),
    sa.PrimaryKeyConstraint('number', name='pk_terms_version')
    )
    op.create_table('terms_acceptance',
    sa.Column('organization_id', sa.Text(), nullable=False),
    sa.Column('number', sa.Integer(), nullable=False),
    sa.Column('text_sha256', sa.Text(), nullable=False),
    sa.Column('accepted_at', sa.DateTime(timezone=True), nullable=False),
    sa.Column('accepted_by', sa.Text(), nullable=False),
    sa.ForeignKeyConstraint(['number'], ['terms_version.number'], name='fk_terms_acceptance_number_terms_version'),
    sa.ForeignKeyConstraint(['organization_id'], ['organization.id'], name='fk_terms_acceptance_organization_id_organization'),
    sa.PrimaryKeyConstraint('organization_id', 'number', name='pk_terms_acceptance')
    )
    op.create_table('tenant_group',
    sa.Column('id', sa.Text(), nullable=False),
    sa.Column('name_ja', sa.Text(), nullable=False),
    sa.Column('name_en', sa.Text(), nullable=True),
    sa.Column('operator_id', sa.Text(), nullable=False),
    sa.Column('purpose', sa.Text(), nullable=False),
    sa.Column('created_at', sa.DateTime(timezone=True), nullable=False),
    sa.Column('created_by', sa.Text(), nullable=False),
    sa.ForeignKeyConstraint(['operator_id'], ['organization.id'], name='fk_tenant_group_operator_id_organization'),
    sa.PrimaryKeyConstraint('id', name='pk_tenant_group')
    )
    op.create_index('ix_tenant_group_operator_id', 'tenant_group', ['operator_id'], unique=False)
    op.create_table('group_member',
    sa.Column('id', sa.BigInteger(), sa.Identity(always=True), nullable=False),
    sa.Column('group_id', sa.Text(), nullable=False),
    sa.Column('organization_id', sa.Text(), nullable=False),
    sa.Column('agreement', sa.Text(), nullable=False),
    sa.Column('since', sa.Date(), nullable=False),
    sa.Column('until', sa.Date(), nullable=True),
    sa.Column('added_at', sa.DateTime(timezone=True), nullable=False),
    sa.Column('added_by', sa.Text(), nullable=False),
    sa.Column('ended_at', sa.DateTime(timezone=True), nullable=True),
    sa.Column('ended_by', sa.Text(), nullable=True),
    sa.CheckConstraint('until IS NULL OR until > since', name='ck_group_member_period'),
    sa.ForeignKeyConstraint(['group_id'], ['tenant_group.id'], name='fk_group_member_group_id_tenant_group'),
    sa.ForeignKeyConstraint(['organization_id'], ['organization.id'], name='fk_group_member_organization_id_organization'),
    sa.PrimaryKeyConstraint('id', name='pk_group_member')
    )
    op.create_index('ix_group_member_group_id', 'group_member', ['group_id'], unique=False)
    op.create_index('ix_group_member_organization_id_group_id', 'group_member', ['organization_id', 'group_id'], unique=False)
    op.create_table('invitation',
    sa.Column('id', sa.Uuid(), nullable=False),
    sa.Column('organization_id', sa.Text(), nullable=False),
    sa.Column('email', sa.Text(), nullable=False),
    sa.Column('roles', postgresql.ARRAY(sa.Text()), nullable=False),
    sa.Column('handle', sa.Text(), nullable=False),
    sa.Column('code_sha256', sa.LargeBinary(), nullable=False),
    sa.Column('wrong_codes', sa.Integer(), nullable=False),
    sa.Column('created_at', sa.DateTime(timezone=True), nullable=False),
    sa.Column('created_by', sa.Text(), nullable=False),
    sa.Column('expires_at', sa.DateTime(timezone=True), nullable=False),
    sa.Column('ended_at', sa.DateTime(timezone=True), nullable=True),
    sa.Column('accepted_at', sa.DateTime(timezone=True), nullable=True),
    sa.Column('client_id', sa.Text(), nullable=True),
    sa.CheckConstraint('(accepted_at IS NULL) = (client_id IS NULL)', name='ck_invitation_accepted_by_a_client'),
    sa.ForeignKeyConstraint(['client_id'], ['client.id'], name='fk_invitation_client_id_client'),
    sa.ForeignKeyConstraint(['organization_id'], ['organization.id'], name='fk_invitation_organization_id_organization'),
    sa.PrimaryKeyConstraint('id', name='pk_invitation'),
    sa.UniqueConstraint('handle', name='uq_invitation_handle')
    )
    op.create_index('ix_invitation_organization_id', 'invitation', ['organization_id'], unique=False)
    op.add_column('dataset', sa.Column('temporal_start', sa.Date(), nullable=True))
    op.add_column('dataset', sa.Column('temporal_end', sa.Date(), nullable=True))


def downgrade() -> None:
    op.drop_column('dataset', 'temporal_end')
    op.drop_column('dataset', 'temporal_start')
    for table in (
        'invitation', 'group_member', 'tenant_group', 'terms_acceptance', 'terms_version',
        'invitation_attempts',
    ):
        op.drop_table(table)
