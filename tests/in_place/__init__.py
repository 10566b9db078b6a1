"""Adopting databases of Chainlit's SQLAlchemy layer in place, and giving them back."""
