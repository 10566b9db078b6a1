"""The connection to the database, its schema revision and the migrations."""

from .database import Database, parse_url

__all__ = ["Database", "parse_url"]
