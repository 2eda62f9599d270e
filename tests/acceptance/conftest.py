"""The environment of an application that has been set up: a database, an organization, an empty working directory."""

from __future__ import annotations

from pathlib import Path

import pytest


@pytest.fixture
def application_environment(database_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Set DATABASE_URL and ORGANIZATION_ID as the README says, in a directory without a `.env`."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("DATABASE_URL", database_url)
    monkeypatch.setenv("ORGANIZATION_ID", "acme")
