"""Connections to the database, the revision of its schema, and migrations."""

from .database import Database, parse_url

__all__ = ["Database", "parse_url"]
