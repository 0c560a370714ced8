"""The tables of a site (SQLAlchemy Core), and the one migration runner.

No column holds a name, an identifier or a UID (docs/adr/0003): `token` columns are keyed hashes for exact
search, `sealed` columns are records under the patient's key or the site's. Row ids, times, lengths, counts,
states and AE titles are in the clear. A change here is a new script in `migrations/versions/`; a test holds
the scripts against these tables.
"""

from __future__ import annotations

from sqlalchemy import (
    BigInteger,
    Column,
    Engine,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    Table,
    Text,
    UniqueConstraint,
    inspect,
    select,
)

SCHEMA_HEAD = "0001"

METADATA = MetaData()
ROW_ID = BigInteger().with_variant(Integer, "sqlite")
"""An integer that SQLite takes for its own row id."""

KEYS = Table(
    "keys",
    METADATA,
    Column("id", LargeBinary, primary_key=True),
    Column("kind", Integer, nullable=False, index=True),
    Column("parent_id", LargeBinary, nullable=False, index=True),
    Column("version", Integer, nullable=False),
    Column("wrapped", LargeBinary, nullable=False),
    Column("created_at", BigInteger, nullable=False),
    Column("state", Integer, nullable=False),
)
PATIENTS = Table(
    "patients",
    METADATA,
    Column("id", ROW_ID, primary_key=True),
    Column("token", LargeBinary, nullable=False, unique=True),
    Column("id_token", LargeBinary, nullable=False, index=True),
    Column("key_id", LargeBinary, nullable=False),
    Column("sealed", LargeBinary),
)
STUDIES = Table(
    "studies",
    METADATA,
    Column("id", ROW_ID, primary_key=True),
    Column("token", LargeBinary, nullable=False),
    Column("patient_id", ROW_ID, nullable=False, index=True),
    Column("scope_id", LargeBinary, nullable=False),
    Column("accession_token", LargeBinary, index=True),
    Column("month_token", LargeBinary, index=True),
    Column("archived", Integer, nullable=False),
    Column("length", BigInteger, nullable=False),
    Column("received_at", BigInteger, nullable=False, index=True),
    Column("sealed", LargeBinary),
    UniqueConstraint("token", "patient_id", name="uq_studies_token"),
)
"""One row for a Study Instance UID of one patient; `archived` objects of `length` bytes, the last at `received_at`."""

SERIES = Table(
    "series",
    METADATA,
    Column("id", ROW_ID, primary_key=True),
    Column("token", LargeBinary, nullable=False),
    Column("study_id", ROW_ID, nullable=False, index=True),
    Column("modality_token", LargeBinary, index=True),
    Column("archived", Integer, nullable=False),
    Column("sealed", LargeBinary, nullable=False),
    UniqueConstraint("token", "study_id", name="uq_series_token"),
)
INSTANCES = Table(
    "instances",
    METADATA,
    Column("id", ROW_ID, primary_key=True),
    Column("object_id", LargeBinary, nullable=False, unique=True),
    Column("token", LargeBinary, nullable=False, index=True),
    Column("series_id", ROW_ID, index=True),
    Column("study_id", ROW_ID),
    Column("patient_id", ROW_ID),
    Column("held_study_token", LargeBinary),
    Column("state", Text, nullable=False),
    Column("digest_token", LargeBinary, nullable=False),
    Column("length", BigInteger, nullable=False),
    Column("received_at", BigInteger, nullable=False),
    Column("sealed", LargeBinary, nullable=False),
)
"""Every object. A held one belongs to no patient row yet: it is sealed under the site's record key."""

NOT_ARCHIVED = INSTANCES.c.state != "archived"
Index("ix_instances_unusual", INSTANCES.c.state, sqlite_where=NOT_ARCHIVED, postgresql_where=NOT_ARCHIVED)

DELIVERIES = Table(
    "deliveries",
    METADATA,
    Column("id", ROW_ID, primary_key=True),
    Column("object_id", LargeBinary, nullable=False, index=True),
    Column("node", Text, nullable=False),
    Column("attempts", Integer, nullable=False),
    Column("due_at", BigInteger, nullable=False),
    Column("state", Text, nullable=False),
    Column("sealed", LargeBinary),
    Index("ix_deliveries_due", "state", "due_at"),
)
COMMITMENTS = Table(
    "commitments",
    METADATA,
    Column("id", ROW_ID, primary_key=True),
    Column("node", Text, nullable=False),
    Column("attempts", Integer, nullable=False),
    Column("due_at", BigInteger, nullable=False),
    Column("state", Text, nullable=False),
    Column("sealed", LargeBinary, nullable=False),
    Index("ix_commitments_due", "state", "due_at"),
)
NODES = Table(
    "nodes",
    METADATA,
    Column("name", Text, primary_key=True),
    Column("sealed", LargeBinary, nullable=False),
)
LEDGER = Table(
    "ledger",
    METADATA,
    Column("seq", ROW_ID, primary_key=True, autoincrement=False),
    Column("at_us", BigInteger, nullable=False),
    Column("kind", Text, nullable=False),
    Column("subject", LargeBinary, index=True),
    Column("sealed", LargeBinary, nullable=False),
    Column("hash", LargeBinary, nullable=False),
)
LEDGER_HEADS = Table(
    "ledger_heads",
    METADATA,
    Column("size", ROW_ID, primary_key=True, autoincrement=False),
    Column("root", LargeBinary, nullable=False),
    Column("at_us", BigInteger, nullable=False),
    Column("public_key", LargeBinary, nullable=False),
    Column("signature", LargeBinary, nullable=False),
    Column("peaks", LargeBinary, nullable=False),
)

_VERSION = Table("alembic_version", MetaData(), Column("version_num", Text))


def upgrade(engine: Engine) -> None:
    """Bring the database to the newest schema; nothing to do is the usual case and costs two queries."""
    with engine.begin() as connection:  # the write lock: of two processes that find an empty file, one creates it
        if inspect(connection).has_table("alembic_version"):
            version = connection.execute(select(_VERSION.c.version_num)).scalar()
            if version == SCHEMA_HEAD:
                return
        from alembic import command
        from alembic.config import Config

        config = Config()
        config.set_main_option("script_location", "leadglass:edge/migrations")
        config.attributes["connection"] = connection
        command.upgrade(config, "head")
