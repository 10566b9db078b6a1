"""A local folder, behind signed links."""
