"""Measurements of chainlit-sqla; see README.md."""
