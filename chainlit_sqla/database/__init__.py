"""Connections to the database, the revision of its schema, and migrations."""

from .engine import Database
from .urls import parse_url

__all__ = ["Database", "parse_url"]
