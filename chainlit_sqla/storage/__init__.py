"""Where the bytes of elements live."""
