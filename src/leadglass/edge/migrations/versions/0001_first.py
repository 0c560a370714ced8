"""The first schema. Written out: a script says what a version was, whatever `schema.py` says later."""

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None

ROW_ID = sa.BigInteger().with_variant(sa.Integer(), "sqlite")


def _bytes(name: str, *, is_optional: bool = False) -> sa.Column[bytes]:
    return sa.Column(name, sa.LargeBinary(), nullable=is_optional)


def _integer(name: str) -> sa.Column[int]:
    return sa.Column(name, sa.Integer(), nullable=False)


def _long(name: str) -> sa.Column[int]:
    return sa.Column(name, sa.BigInteger(), nullable=False)


def _text(name: str) -> sa.Column[str]:
    return sa.Column(name, sa.Text(), nullable=False)


def _row_id(name: str, *, is_optional: bool = False) -> sa.Column[int]:
    return sa.Column(name, ROW_ID, nullable=is_optional)


def _key(name: str, *, is_given: bool = False) -> sa.Column[int]:
    return sa.Column(name, ROW_ID, primary_key=True, autoincrement=False if is_given else "auto")


def upgrade() -> None:
    """Create every table and index."""
    op.create_table(
        "keys",
        sa.Column("id", sa.LargeBinary(), primary_key=True),
        _integer("kind"),
        _bytes("parent_id"),
        _integer("version"),
        _bytes("wrapped"),
        _long("created_at"),
        _integer("state"),
    )
    op.create_table(
        "patients",
        _key("id"),
        _bytes("token"),
        _bytes("id_token"),
        _bytes("key_id"),
        _bytes("sealed", is_optional=True),
        sa.UniqueConstraint("token"),
    )
    op.create_table(
        "studies",
        _key("id"),
        _bytes("token"),
        _row_id("patient_id"),
        _bytes("scope_id"),
        _bytes("accession_token", is_optional=True),
        _bytes("month_token", is_optional=True),
        _integer("archived"),
        _long("length"),
        _long("received_at"),
        _bytes("sealed", is_optional=True),
        sa.UniqueConstraint("token", "patient_id", name="uq_studies_token"),
    )
    op.create_table(
        "series",
        _key("id"),
        _bytes("token"),
        _row_id("study_id"),
        _bytes("modality_token", is_optional=True),
        _integer("archived"),
        _bytes("sealed"),
        sa.UniqueConstraint("token", "study_id", name="uq_series_token"),
    )
    op.create_table(
        "instances",
        _key("id"),
        _bytes("object_id"),
        _bytes("token"),
        *(_row_id(name, is_optional=True) for name in ("series_id", "study_id", "patient_id")),
        _bytes("held_study_token", is_optional=True),
        _text("state"),
        _bytes("digest_token"),
        _long("length"),
        _long("received_at"),
        _bytes("sealed"),
        sa.UniqueConstraint("object_id"),
    )
    _create_outbox_and_evidence()
    _create_indexes()


def _create_outbox_and_evidence() -> None:
    for name, first, is_optional in (("deliveries", [_bytes("object_id")], True), ("commitments", [], False)):
        op.create_table(
            name,
            _key("id"),
            *first,
            _text("node"),
            _integer("attempts"),
            _long("due_at"),
            _text("state"),
            _bytes("sealed", is_optional=is_optional),
        )
    op.create_table("nodes", sa.Column("name", sa.Text(), primary_key=True), _bytes("sealed"))
    op.create_table(
        "ledger",
        _key("seq", is_given=True),
        _long("at_us"),
        _text("kind"),
        _bytes("subject", is_optional=True),
        _bytes("sealed"),
        _bytes("hash"),
    )
    op.create_table(
        "ledger_heads",
        _key("size", is_given=True),
        _bytes("root"),
        _long("at_us"),
        *(_bytes(name) for name in ("public_key", "signature", "peaks")),
    )


def _create_indexes() -> None:
    for table, column in (
        ("keys", "kind"),
        ("keys", "parent_id"),
        ("patients", "id_token"),
        ("studies", "patient_id"),
        ("studies", "accession_token"),
        ("studies", "month_token"),
        ("studies", "received_at"),
        ("series", "study_id"),
        ("series", "modality_token"),
        ("instances", "token"),
        ("instances", "series_id"),
        ("deliveries", "object_id"),
        ("ledger", "subject"),
    ):
        op.create_index(f"ix_{table}_{column}", table, [column])
    is_unusual = sa.text("state != 'archived'")
    op.create_index(
        "ix_instances_unusual", "instances", ["state"], sqlite_where=is_unusual, postgresql_where=is_unusual
    )
    op.create_index("ix_deliveries_due", "deliveries", ["state", "due_at"])
    op.create_index("ix_commitments_due", "commitments", ["state", "due_at"])
