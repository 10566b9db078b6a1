"""Helpers that depend on neither Chainlit nor a database."""
