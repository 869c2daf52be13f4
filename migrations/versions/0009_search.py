"""what datasets and versions are found by, and how words are read"""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects.postgresql import ARRAY, JSONB

revision = "0009"
down_revision = "0008"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.execute("SET LOCAL lock_timeout = '5s'")
    op.create_table(
        "dataset_words",
        sa.Column("dataset_id", sa.Text(), nullable=False),
        sa.Column("length", sa.Integer(), nullable=False),
        sa.Column("title", sa.Text(collation="C"), nullable=False),
        sa.Column("kana", sa.Text(collation="C"), nullable=False),
        sa.Column("parts", ARRAY(sa.Text()), nullable=False),
        sa.Column("grams", ARRAY(sa.Integer()), nullable=False),
        sa.Column("made_as", sa.Text(), nullable=False),
        sa.Column("read_as", sa.Text()),
        sa.PrimaryKeyConstraint("dataset_id", name="pk_dataset_words"),
        sa.ForeignKeyConstraint(
            ["dataset_id"],
            ["dataset.id"],
            name="fk_dataset_words_dataset_id_dataset",
            ondelete="CASCADE",
        ),
    )
    # A row is ranked without its words: out of line, they cost nothing until they are looked at.
    op.execute("ALTER TABLE dataset_words SET (toast_tuple_target = 128)")
    for column in ("parts", "grams"):
        op.execute(f"ALTER TABLE dataset_words ALTER COLUMN {column} SET STORAGE EXTERNAL")
    for column in ("title", "kana"):
        op.execute(f"ALTER TABLE dataset_words ALTER COLUMN {column} SET STORAGE MAIN")
    # What was there before is found by this until the worker has made its words.
    said = "concat_ws(' ', title_ja, title_en, title_kana, description_ja, description_en)"
    op.execute(
        "INSERT INTO dataset_words (dataset_id, length, title, kana, parts, grams, made_as)"
        " SELECT id, char_length(title_ja), '', '',"
        f" ARRAY[left(normalize({said}, NFKC), 4000)], '{{}}', '' FROM dataset"
    )
    op.create_index("ix_dataset_words_grams", "dataset_words", ["grams"], postgresql_using="gin")
    op.create_index(
        "ix_dataset_words_order", "dataset_words", ["length", sa.text('dataset_id COLLATE "C"')]
    )
    op.create_index(
        "ix_dataset_words_unmade",
        "dataset_words",
        ["dataset_id"],
        postgresql_where=sa.text("made_as = ''"),
    )
    op.create_index("ix_dataset_themes", "dataset", ["themes"], postgresql_using="gin")
    op.create_table(
        "reading",
        sa.Column("word", sa.Text(collation="C"), nullable=False),
        sa.Column("reading", sa.Text(collation="C"), nullable=False),
        sa.PrimaryKeyConstraint("word", "reading", name="pk_reading"),
    )
    op.create_index("ix_reading", "reading", ["reading"])
    # The release before still writes it.
    op.alter_column("dataset", "search_text", server_default="")
    op.add_column("version", sa.Column("words", JSONB))


def downgrade() -> None:
    op.execute("SET LOCAL lock_timeout = '5s'")
    for table in sa.inspect(op.get_bind()).get_table_names(schema="hosted"):
        if table.startswith("s_"):
            op.drop_table(table, schema="hosted")
    op.drop_index("ix_dataset_themes", "dataset")
    op.drop_column("version", "words")
    op.alter_column("dataset", "search_text", server_default=None)
    op.drop_table("reading")
    op.drop_table("dataset_words")
