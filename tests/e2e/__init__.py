"""End to end: a real Chainlit server, a real client, a real browser."""
