"""Migrations of the schema ``control``, run by alembic (see infra/runtime/database.py)."""
