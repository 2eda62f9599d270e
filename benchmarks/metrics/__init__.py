"""Metrics: recording points, and reading them by hours from a million and from ten."""
