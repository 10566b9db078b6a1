"""PostgreSQL by testcontainers, proven with an image made on this machine."""
