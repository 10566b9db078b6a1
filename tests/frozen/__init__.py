"""Databases as they are in the world, frozen as SQL text; see make.py."""
