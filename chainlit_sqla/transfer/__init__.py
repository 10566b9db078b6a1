"""Conversations into and out of a database."""
