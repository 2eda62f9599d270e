"""The client: one organization's way to everything agents store."""
