"""Schema migrations, run by Alembic when a site is opened."""
