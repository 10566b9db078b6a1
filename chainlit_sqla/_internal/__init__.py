"""Helpers that know nothing of Chainlit or databases."""
