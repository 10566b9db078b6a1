"""Everything that touches Chainlit: its server, sessions, elements and dictionaries."""
