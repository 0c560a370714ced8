"""The first schema."""

from alembic import op

from leadglass.edge.schema import create_all

revision = "0001"
down_revision = None


def upgrade() -> None:
    """Create every table."""
    create_all(op.get_bind())
