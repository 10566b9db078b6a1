"""The readers and helpers that adoptions use until they are rebuilt."""
