"""The settings of commands that work on a database as a whole."""

from __future__ import annotations

from agentdb.config import EMBEDDED_ORGANIZATION, Settings

__all__ = ["load_settings"]


def load_settings() -> Settings:
    """Return the settings, whether or not an ORGANIZATION_ID is set: nothing here reads an organization's rows."""
    return Settings.load(organization_id=EMBEDDED_ORGANIZATION)
