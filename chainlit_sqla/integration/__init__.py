"""What touches Chainlit: its server, its sessions, its dictionaries."""
