"""tables"""

from alembic import op
import sqlalchemy as sa
from sqlalchemy.dialects import postgresql

revision = '0001'
down_revision = None
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table('idempotent_answer',
    sa.Column('client_id', sa.Text(), nullable=False),
    sa.Column('key', sa.Text(), nullable=False),
    sa.Column('request_sha256', sa.Text(), nullable=False),
    sa.Column('answer', postgresql.JSONB(none_as_null=True, astext_type=sa.Text()), server_default=sa.text("'{}'::jsonb"), nullable=False),
    sa.Column('created_at', sa.DateTime(timezone=True), nullable=False),
    sa.PrimaryKeyConstraint('client_id', 'key', name='pk_idempotent_answer')
    )
    op.create_index('ix_idempotent_answer_created_at', 'idempotent_answer', ['created_at'], unique=False)
    op.create_table('log_entry',
    sa.Column('seq', sa.BigInteger(), autoincrement=False, nullable=False),
    sa.Column('body', sa.Text(), nullable=False),
    sa.Column('hash', sa.LargeBinary(), nullable=False),
    sa.PrimaryKeyConstraint('seq', name='pk_log_entry')
    )
    op.create_table('log_head',
    sa.Column('id', sa.SmallInteger(), autoincrement=False, nullable=False),
    sa.Column('seq', sa.BigInteger(), nullable=False),
    sa.Column('hash', sa.LargeBinary(), nullable=False),
    sa.CheckConstraint('id = 1', name='ck_log_head_one_row'),
    sa.PrimaryKeyConstraint('id', name='pk_log_head')
    )
    op.create_table('organization',
    sa.Column('id', sa.Text(), nullable=False),
    sa.Column('local_government_code', sa.Text(), nullable=True),
    sa.Column('kind', sa.Text(), nullable=False),
    sa.Column('name_ja', sa.Text(), nullable=False),
    sa.Column('name_kana', sa.Text(), nullable=True),
    sa.Column('name_en', sa.Text(), nullable=True),
    sa.Column('parent_id', sa.Text(), nullable=True),
    sa.Column('second_parent_id', sa.Text(), nullable=True),
    sa.Column('successor_id', sa.Text(), nullable=True),
    sa.Column('valid_from', sa.Date(), nullable=True),
    sa.Column('valid_to', sa.Date(), nullable=True),
    sa.Column('created_at', sa.DateTime(timezone=True), nullable=False),
    sa.CheckConstraint("local_government_code ~ '^[0-9]{6}$'", name='ck_organization_code_is_six_digits'),
    sa.CheckConstraint('parent_id IS DISTINCT FROM id', name='ck_organization_not_its_own_parent'),
    sa.CheckConstraint('valid_to IS NULL OR valid_to > valid_from', name='ck_organization_period'),
    sa.ForeignKeyConstraint(['parent_id'], ['organization.id'], name='fk_organization_parent_id_organization'),
    sa.ForeignKeyConstraint(['second_parent_id'], ['organization.id'], name='fk_organization_second_parent_id_organization'),
    sa.ForeignKeyConstraint(['successor_id'], ['organization.id'], name='fk_organization_successor_id_organization'),
    sa.PrimaryKeyConstraint('id', name='pk_organization')
    )
    op.create_index('ix_organization_code_in_force', 'organization', ['local_government_code'], unique=True, postgresql_where=sa.text('valid_to IS NULL'))
    op.create_index('ix_organization_parent_id', 'organization', ['parent_id'], unique=False)
    op.create_table('profile',
    sa.Column('name', sa.Text(), nullable=False),
    sa.Column('version', sa.Integer(), nullable=False),
    sa.Column('title_ja', sa.Text(), nullable=False),
    sa.Column('title_en', sa.Text(), nullable=True),
    sa.Column('fields', postgresql.JSONB(none_as_null=True, astext_type=sa.Text()), nullable=False),
    sa.Column('created_at', sa.DateTime(timezone=True), nullable=False),
    sa.Column('created_by', sa.Text(), nullable=False),
    sa.PrimaryKeyConstraint('name', 'version', name='pk_profile')
    )
    op.create_table('purpose',
    sa.Column('code', sa.Text(), nullable=False),
    sa.Column('name_ja', sa.Text(), nullable=False),
    sa.Column('name_en', sa.Text(), nullable=False),
    sa.PrimaryKeyConstraint('code', name='pk_purpose')
    )
    op.create_table('signing_key',
    sa.Column('kid', sa.Text(), nullable=False),
    sa.Column('state', sa.Text(), nullable=False),
    sa.Column('public_jwk', postgresql.JSONB(none_as_null=True, astext_type=sa.Text()), nullable=False),
    sa.Column('sealed_private_jwk', sa.LargeBinary(), nullable=False),
    sa.Column('created_at', sa.DateTime(timezone=True), nullable=False),
    sa.Column('changed_at', sa.DateTime(timezone=True), nullable=False),
    sa.PrimaryKeyConstraint('kid', name='pk_signing_key')
    )
    op.create_index('ix_signing_key_current', 'signing_key', ['state'], unique=True, postgresql_where=sa.text("state = 'current'"))
    op.create_table('upload',
    sa.Column('id', sa.Uuid(), nullable=False),
    sa.Column('filename', sa.Text(), nullable=True),
    sa.Column('size', sa.BigInteger(), nullable=False),
    sa.Column('sha256', sa.Text(), nullable=False),
    sa.Column('created_at', sa.DateTime(timezone=True), nullable=False),
    sa.PrimaryKeyConstraint('id', name='pk_upload')
    )
    op.create_table('usage_minute',
    sa.Column('dataset_id', sa.Text(), nullable=False),
    sa.Column('client_id', sa.Text(), nullable=False),
    sa.Column('minute', sa.DateTime(timezone=True), nullable=False),
    sa.Column('reads', sa.BigInteger(), nullable=False),
    sa.PrimaryKeyConstraint('dataset_id', 'client_id', 'minute', name='pk_usage_minute')
    )
    op.create_table('used_assertion',
    sa.Column('client_id', sa.Text(), nullable=False),
    sa.Column('jti', sa.Text(), nullable=False),
    sa.Column('expires_at', sa.DateTime(timezone=True), nullable=False),
    sa.PrimaryKeyConstraint('client_id', 'jti', name='pk_used_assertion')
    )
    op.create_index('ix_used_assertion_expires_at', 'used_assertion', ['expires_at'], unique=False)
    op.create_table('client',
    sa.Column('id', sa.Text(), nullable=False),
    sa.Column('organization_id', sa.Text(), nullable=False),
    sa.Column('name', sa.Text(), nullable=False),
    sa.Column('system', sa.Text(), nullable=True),
    sa.Column('zone', sa.Text(), nullable=False),
    sa.Column('roles', postgresql.ARRAY(sa.Text()), nullable=False),
    sa.Column('auth_method', sa.Text(), nullable=False),
    sa.Column('jwks', postgresql.JSONB(none_as_null=True, astext_type=sa.Text()), nullable=True),
    sa.Column('secret_hash', sa.Text(), nullable=True),
    sa.Column('created_at', sa.DateTime(timezone=True), nullable=False),
    sa.Column('created_by', sa.Text(), nullable=True),
    sa.Column('revoked_at', sa.DateTime(timezone=True), nullable=True),
    sa.Column('revoked_by', sa.Text(), nullable=True),
    sa.CheckConstraint("(auth_method = 'private_key_jwt' AND jwks IS NOT NULL AND secret_hash IS NULL) OR (auth_method = 'client_secret_basic' AND secret_hash IS NOT NULL)", name='ck_client_one_credential'),
    sa.ForeignKeyConstraint(['organization_id'], ['organization.id'], name='fk_client_organization_id_organization'),
    sa.PrimaryKeyConstraint('id', name='pk_client')
    )
    op.create_index('ix_client_organization_id', 'client', ['organization_id'], unique=False)
    op.create_table('dataset',
    sa.Column('id', sa.Text(), nullable=False),
    sa.Column('title_ja', sa.Text(), nullable=False),
    sa.Column('title_en', sa.Text(), nullable=True),
    sa.Column('title_kana', sa.Text(), nullable=True),
    sa.Column('description_ja', sa.Text(), nullable=True),
    sa.Column('description_en', sa.Text(), nullable=True),
    sa.Column('publisher_id', sa.Text(), nullable=False),
    sa.Column('steward_name', sa.Text(), nullable=False),
    sa.Column('steward_email', sa.Text(), nullable=True),
    sa.Column('data_class', sa.Text(), nullable=False),
    sa.Column('zone', sa.Text(), nullable=False),
    sa.Column('license', sa.Text(), nullable=True),
    sa.Column('update_frequency', sa.Text(), nullable=False),
    sa.Column('legal_basis', sa.Text(), nullable=True),
    sa.Column('source_system', sa.Text(), nullable=True),
    sa.Column('themes', postgresql.ARRAY(sa.Text()), nullable=False),
    sa.Column('hidden', sa.Boolean(), nullable=False),
    sa.Column('profile_name', sa.Text(), nullable=True),
    sa.Column('profile_version', sa.Integer(), nullable=True),
    sa.Column('fields', postgresql.JSONB(none_as_null=True, astext_type=sa.Text()), nullable=True),
    sa.Column('mapping', postgresql.JSONB(none_as_null=True, astext_type=sa.Text()), nullable=True),
    sa.Column('joins', postgresql.JSONB(none_as_null=True, astext_type=sa.Text()), nullable=True),
    sa.Column('state', sa.Text(), nullable=False),
    sa.Column('withdrawn_reason', sa.Text(), nullable=True),
    sa.Column('current_version', sa.Integer(), nullable=True),
    sa.Column('search_text', sa.Text(), nullable=False),
    sa.Column('created_at', sa.DateTime(timezone=True), nullable=False),
    sa.Column('created_by', sa.Text(), nullable=False),
    sa.Column('modified_at', sa.DateTime(timezone=True), nullable=False),
    sa.CheckConstraint("id ~ '^[a-z0-9][a-z0-9-]{1,62}$'", name='ck_dataset_id'),
    sa.ForeignKeyConstraint(['publisher_id'], ['organization.id'], name='fk_dataset_publisher_id_organization'),
    sa.PrimaryKeyConstraint('id', name='pk_dataset')
    )
    op.create_index('ix_dataset_modified_at', 'dataset', ['modified_at'], unique=False)
    op.create_index('ix_dataset_publisher_id', 'dataset', ['publisher_id'], unique=False)
    op.create_table('organization_former_name',
    sa.Column('organization_id', sa.Text(), nullable=False),
    sa.Column('until', sa.Date(), nullable=False),
    sa.Column('name_ja', sa.Text(), nullable=False),
    sa.Column('name_en', sa.Text(), nullable=True),
    sa.ForeignKeyConstraint(['organization_id'], ['organization.id'], name='fk_organization_former_name_organization_id_organization'),
    sa.PrimaryKeyConstraint('organization_id', 'until', name='pk_organization_former_name')
    )
    op.create_table('upload_chunk',
    sa.Column('upload_id', sa.Uuid(), nullable=False),
    sa.Column('position', sa.Integer(), nullable=False),
    sa.Column('data', sa.LargeBinary(), nullable=False),
    sa.ForeignKeyConstraint(['upload_id'], ['upload.id'], name='fk_upload_chunk_upload_id_upload'),
    sa.PrimaryKeyConstraint('upload_id', 'position', name='pk_upload_chunk')
    )
    op.create_table('access_request',
    sa.Column('id', sa.Uuid(), nullable=False),
    sa.Column('dataset_id', sa.Text(), nullable=False),
    sa.Column('consumer_id', sa.Text(), nullable=False),
    sa.Column('purpose', sa.Text(), nullable=False),
    sa.Column('legal_basis', sa.Text(), nullable=False),
    sa.Column('reason', sa.Text(), nullable=True),
    sa.Column('actions', postgresql.ARRAY(sa.Text()), nullable=False),
    sa.Column('columns', postgresql.ARRAY(sa.Text()), nullable=False),
    sa.Column('valid_from', sa.DateTime(timezone=True), nullable=False),
    sa.Column('valid_until', sa.DateTime(timezone=True), nullable=False),
    sa.Column('state', sa.Text(), nullable=False),
    sa.Column('requested_by', sa.Text(), nullable=False),
    sa.Column('requested_at', sa.DateTime(timezone=True), nullable=False),
    sa.Column('decided_by', sa.Text(), nullable=True),
    sa.Column('decided_at', sa.DateTime(timezone=True), nullable=True),
    sa.Column('decision_reason', sa.Text(), nullable=True),
    sa.ForeignKeyConstraint(['consumer_id'], ['organization.id'], name='fk_access_request_consumer_id_organization'),
    sa.ForeignKeyConstraint(['dataset_id'], ['dataset.id'], name='fk_access_request_dataset_id_dataset'),
    sa.ForeignKeyConstraint(['purpose'], ['purpose.code'], name='fk_access_request_purpose_purpose'),
    sa.PrimaryKeyConstraint('id', name='pk_access_request')
    )
    op.create_index('ix_access_request_consumer_id', 'access_request', ['consumer_id'], unique=False)
    op.create_index('ix_access_request_dataset_id', 'access_request', ['dataset_id'], unique=False)
    op.create_table('run',
    sa.Column('id', sa.Uuid(), nullable=False),
    sa.Column('dataset_id', sa.Text(), nullable=False),
    sa.Column('upload_id', sa.Uuid(), nullable=False),
    sa.Column('corrects_run_id', sa.Uuid(), nullable=True),
    sa.Column('state', sa.Text(), nullable=False),
    sa.Column('phase', sa.Text(), nullable=True),
    sa.Column('bytes_total', sa.BigInteger(), nullable=False),
    sa.Column('bytes_done', sa.BigInteger(), nullable=False),
    sa.Column('rows_read', sa.BigInteger(), nullable=False),
    sa.Column('rows_accepted', sa.BigInteger(), nullable=False),
    sa.Column('rows_rejected', sa.BigInteger(), nullable=False),
    sa.Column('cells_repaired', sa.BigInteger(), nullable=False),
    sa.Column('encoding', sa.Text(), nullable=True),
    sa.Column('header_line', sa.Integer(), nullable=True),
    sa.Column('header', sa.Text(), nullable=True),
    sa.Column('notices', postgresql.JSONB(none_as_null=True, astext_type=sa.Text()), nullable=False),
    sa.Column('version_number', sa.Integer(), nullable=True),
    sa.Column('unchanged', sa.Boolean(), nullable=False),
    sa.Column('error_code', sa.Text(), nullable=True),
    sa.Column('error_ja', sa.Text(), nullable=True),
    sa.Column('error_en', sa.Text(), nullable=True),
    sa.Column('created_at', sa.DateTime(timezone=True), nullable=False),
    sa.Column('created_by', sa.Text(), nullable=False),
    sa.Column('started_at', sa.DateTime(timezone=True), nullable=True),
    sa.Column('finished_at', sa.DateTime(timezone=True), nullable=True),
    sa.ForeignKeyConstraint(['corrects_run_id'], ['run.id'], name='fk_run_corrects_run_id_run'),
    sa.ForeignKeyConstraint(['dataset_id'], ['dataset.id'], name='fk_run_dataset_id_dataset'),
    sa.ForeignKeyConstraint(['upload_id'], ['upload.id'], name='fk_run_upload_id_upload'),
    sa.PrimaryKeyConstraint('id', name='pk_run')
    )
    op.create_index('ix_run_dataset', 'run', ['dataset_id', 'created_at'], unique=False)
    op.create_table('agreement',
    sa.Column('id', sa.Uuid(), nullable=False),
    sa.Column('request_id', sa.Uuid(), nullable=False),
    sa.Column('dataset_id', sa.Text(), nullable=False),
    sa.Column('provider_id', sa.Text(), nullable=False),
    sa.Column('consumer_id', sa.Text(), nullable=False),
    sa.Column('purpose', sa.Text(), nullable=False),
    sa.Column('legal_basis', sa.Text(), nullable=False),
    sa.Column('actions', postgresql.ARRAY(sa.Text()), nullable=False),
    sa.Column('columns', postgresql.ARRAY(sa.Text()), nullable=False),
    sa.Column('valid_from', sa.DateTime(timezone=True), nullable=False),
    sa.Column('valid_until', sa.DateTime(timezone=True), nullable=False),
    sa.Column('state', sa.Text(), nullable=False),
    sa.Column('requested_by', sa.Text(), nullable=False),
    sa.Column('approved_by', sa.Text(), nullable=False),
    sa.Column('approved_at', sa.DateTime(timezone=True), nullable=False),
    sa.Column('state_changed_at', sa.DateTime(timezone=True), nullable=False),
    sa.Column('state_changed_by', sa.Text(), nullable=False),
    sa.Column('state_reason', sa.Text(), nullable=True),
    sa.CheckConstraint('approved_by <> requested_by', name='ck_agreement_two_people'),
    sa.CheckConstraint('valid_until > valid_from', name='ck_agreement_period'),
    sa.ForeignKeyConstraint(['consumer_id'], ['organization.id'], name='fk_agreement_consumer_id_organization'),
    sa.ForeignKeyConstraint(['dataset_id'], ['dataset.id'], name='fk_agreement_dataset_id_dataset'),
    sa.ForeignKeyConstraint(['provider_id'], ['organization.id'], name='fk_agreement_provider_id_organization'),
    sa.ForeignKeyConstraint(['purpose'], ['purpose.code'], name='fk_agreement_purpose_purpose'),
    sa.ForeignKeyConstraint(['request_id'], ['access_request.id'], name='fk_agreement_request_id_access_request'),
    sa.PrimaryKeyConstraint('id', name='pk_agreement'),
    sa.UniqueConstraint('request_id', name='uq_agreement_request_id')
    )
    op.create_index('ix_agreement_consumer_id', 'agreement', ['consumer_id'], unique=False)
    op.create_index('ix_agreement_dataset_consumer', 'agreement', ['dataset_id', 'consumer_id'], unique=False)
    op.create_table('reject',
    sa.Column('id', sa.BigInteger(), sa.Identity(always=True), nullable=False),
    sa.Column('run_id', sa.Uuid(), nullable=False),
    sa.Column('row', sa.BigInteger(), nullable=False),
    sa.Column('line', sa.BigInteger(), nullable=False),
    sa.Column('field', sa.Text(), nullable=True),
    sa.Column('code', sa.Text(), nullable=False),
    sa.Column('value_class', sa.Text(), nullable=True),
    sa.Column('hint', sa.Text(), nullable=True),
    sa.Column('raw_line', sa.Text(), nullable=False),
    sa.ForeignKeyConstraint(['run_id'], ['run.id'], name='fk_reject_run_id_run', ondelete='CASCADE'),
    sa.PrimaryKeyConstraint('id', name='pk_reject')
    )
    op.create_index('ix_reject_run', 'reject', ['run_id', 'line', 'id'], unique=False)
    op.create_table('version',
    sa.Column('dataset_id', sa.Text(), nullable=False),
    sa.Column('number', sa.Integer(), nullable=False),
    sa.Column('state', sa.Text(), nullable=False),
    sa.Column('revision', sa.BigInteger(), nullable=False),
    sa.Column('table_name', sa.Text(), nullable=False),
    sa.Column('fields', postgresql.JSONB(none_as_null=True, astext_type=sa.Text()), nullable=False),
    sa.Column('row_count', sa.BigInteger(), nullable=False),
    sa.Column('west', sa.Float(), nullable=True),
    sa.Column('south', sa.Float(), nullable=True),
    sa.Column('east', sa.Float(), nullable=True),
    sa.Column('north', sa.Float(), nullable=True),
    sa.Column('source_sha256', sa.Text(), nullable=True),
    sa.Column('run_id', sa.Uuid(), nullable=True),
    sa.Column('created_at', sa.DateTime(timezone=True), nullable=False),
    sa.Column('changed_at', sa.DateTime(timezone=True), nullable=False),
    sa.Column('published_at', sa.DateTime(timezone=True), nullable=True),
    sa.Column('published_by', sa.Text(), nullable=True),
    sa.ForeignKeyConstraint(['dataset_id'], ['dataset.id'], name='fk_version_dataset_id_dataset'),
    sa.ForeignKeyConstraint(['run_id'], ['run.id'], name='fk_version_run_id_run'),
    sa.PrimaryKeyConstraint('dataset_id', 'number', name='pk_version'),
    sa.UniqueConstraint('table_name', name='uq_version_table_name')
    )


def downgrade() -> None:
    op.drop_table('version')
    op.drop_index('ix_reject_run', table_name='reject')
    op.drop_table('reject')
    op.drop_index('ix_agreement_dataset_consumer', table_name='agreement')
    op.drop_index('ix_agreement_consumer_id', table_name='agreement')
    op.drop_table('agreement')
    op.drop_index('ix_run_dataset', table_name='run')
    op.drop_table('run')
    op.drop_index('ix_access_request_dataset_id', table_name='access_request')
    op.drop_index('ix_access_request_consumer_id', table_name='access_request')
    op.drop_table('access_request')
    op.drop_table('upload_chunk')
    op.drop_table('organization_former_name')
    op.drop_index('ix_dataset_publisher_id', table_name='dataset')
    op.drop_index('ix_dataset_modified_at', table_name='dataset')
    op.drop_table('dataset')
    op.drop_index('ix_client_organization_id', table_name='client')
    op.drop_table('client')
    op.drop_index('ix_used_assertion_expires_at', table_name='used_assertion')
    op.drop_table('used_assertion')
    op.drop_table('usage_minute')
    op.drop_table('upload')
    op.drop_index('ix_signing_key_current', table_name='signing_key', postgresql_where=sa.text("state = 'current'"))
    op.drop_table('signing_key')
    op.drop_table('purpose')
    op.drop_table('profile')
    op.drop_index('ix_organization_parent_id', table_name='organization')
    op.drop_index('ix_organization_code_in_force', table_name='organization', postgresql_where=sa.text('valid_to IS NULL'))
    op.drop_table('organization')
    op.drop_table('log_head')
    op.drop_table('log_entry')
    op.drop_index('ix_idempotent_answer_created_at', table_name='idempotent_answer')
    op.drop_table('idempotent_answer')
