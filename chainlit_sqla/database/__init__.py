"""Connections to the database, the revision of its schema, and migrations."""

from .engine import Database, parse_url

__all__ = ["Database", "parse_url"]
