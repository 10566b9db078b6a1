"""What conversations are read from."""
