"""The tables of a site (SQLAlchemy Core), and the one migration runner.

No column holds a name, an identifier or a UID (docs/adr/0003): `token` columns are keyed hashes for exact
search, `sealed` columns are records under the patient's key or the site's. Integers, times, lengths, states
and AE titles are in the clear.
"""

from __future__ import annotations

from sqlalchemy import BigInteger, Column, Engine, Integer, LargeBinary, MetaData, Table, Text, inspect, select
from sqlalchemy.engine import Connection

SCHEMA_HEAD = "0001"

METADATA = MetaData()
_ROW = BigInteger().with_variant(Integer, "sqlite")

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
    Column("id", _ROW, primary_key=True),
    Column("token", LargeBinary, nullable=False, unique=True),
    Column("id_token", LargeBinary, nullable=False, index=True),
    Column("key_id", LargeBinary, nullable=False),
    Column("sealed", LargeBinary),
)
STUDIES = Table(
    "studies",
    METADATA,
    Column("id", _ROW, primary_key=True),
    Column("token", LargeBinary, nullable=False, unique=True),
    Column("patient_id", _ROW, nullable=False, index=True),
    Column("scope_id", LargeBinary, nullable=False),
    Column("accession_token", LargeBinary, index=True),
    Column("month_token", LargeBinary, index=True),
    Column("received_at", BigInteger, nullable=False, index=True),
    Column("sealed", LargeBinary),
)
SERIES = Table(
    "series",
    METADATA,
    Column("id", _ROW, primary_key=True),
    Column("token", LargeBinary, nullable=False, unique=True),
    Column("study_id", _ROW, nullable=False, index=True),
    Column("modality_token", LargeBinary, index=True),
    Column("sealed", LargeBinary, nullable=False),
)
INSTANCES = Table(
    "instances",
    METADATA,
    Column("id", _ROW, primary_key=True),
    Column("object_id", LargeBinary, nullable=False, unique=True),
    Column("token", LargeBinary, nullable=False, index=True),
    Column("study_id", _ROW, index=True),
    Column("series_id", _ROW, index=True),
    Column("patient_id", _ROW),
    Column("state", Text, nullable=False, index=True),
    Column("digest_token", LargeBinary, nullable=False),
    Column("length", BigInteger, nullable=False),
    Column("received_at", BigInteger, nullable=False),
    Column("sealed", LargeBinary, nullable=False),
)
DELIVERIES = Table(
    "deliveries",
    METADATA,
    Column("id", _ROW, primary_key=True),
    Column("object_id", LargeBinary, nullable=False, index=True),
    Column("node", Text, nullable=False),
    Column("attempts", Integer, nullable=False),
    Column("due_at", BigInteger, nullable=False, index=True),
    Column("state", Text, nullable=False, index=True),
    Column("sealed", LargeBinary),
)
COMMITMENTS = Table(
    "commitments",
    METADATA,
    Column("id", _ROW, primary_key=True),
    Column("node", Text, nullable=False),
    Column("attempts", Integer, nullable=False),
    Column("due_at", BigInteger, nullable=False, index=True),
    Column("state", Text, nullable=False, index=True),
    Column("sealed", LargeBinary, nullable=False),
)
NODES = Table(
    "nodes",
    METADATA,
    Column("name", Text, primary_key=True),
    Column("record", Text, nullable=False),
)
LEDGER = Table(
    "ledger",
    METADATA,
    Column("seq", _ROW, primary_key=True, autoincrement=False),
    Column("at_us", BigInteger, nullable=False),
    Column("kind", Text, nullable=False),
    Column("subject", LargeBinary, index=True),
    Column("sealed", LargeBinary, nullable=False),
    Column("hash", LargeBinary, nullable=False),
)
LEDGER_HEADS = Table(
    "ledger_heads",
    METADATA,
    Column("size", _ROW, primary_key=True, autoincrement=False),
    Column("root", LargeBinary, nullable=False),
    Column("at_us", BigInteger, nullable=False),
    Column("public_key", LargeBinary, nullable=False),
    Column("signature", LargeBinary, nullable=False),
    Column("peaks", LargeBinary, nullable=False),
)

_VERSION = Table("alembic_version", MetaData(), Column("version_num", Text))


def upgrade(engine: Engine) -> None:
    """Bring the database to the newest schema; nothing to do is the usual case and costs one query."""
    with engine.connect() as connection:
        if inspect(connection).has_table("alembic_version"):
            version = connection.execute(select(_VERSION.c.version_num)).scalar()
            if version == SCHEMA_HEAD:
                return
    from alembic import command
    from alembic.config import Config

    with engine.begin() as connection:
        config = Config()
        config.set_main_option("script_location", "leadglass:edge/migrations")
        config.attributes["connection"] = connection
        command.upgrade(config, "head")


def create_all(connection: Connection) -> None:
    """Create the first schema (called by migration 0001)."""
    METADATA.create_all(connection)
