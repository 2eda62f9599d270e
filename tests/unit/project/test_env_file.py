"""`.env` from its template."""

from __future__ import annotations

import io
import re
from pathlib import Path

import pytest
from dotenv import dotenv_values
from hypothesis import given
from hypothesis import strategies as st

from agentdb.config import Settings
from agentdb.errors import InvalidInputError
from agentdb.project.env_file import fill_template, read_template, unmentioned

ONE_LINE = st.text(st.characters(exclude_categories=["Cc", "Cs"]), max_size=60).filter(lambda text: "${" not in text)


@given(url=ONE_LINE, organization=ONE_LINE)
def test_what_is_written_is_what_is_read(url: str, organization: str) -> None:
    """Any text of one line comes out as it went in, quotes, dollars, backslashes and white space included."""
    text = fill_template(read_template(), {"DATABASE_URL": url, "ORGANIZATION_ID": organization})

    assert dotenv_values(stream=io.StringIO(text)) == {"DATABASE_URL": url, "ORGANIZATION_ID": organization}


def test_what_would_be_read_otherwise_is_refused() -> None:
    """A variable, which the reader fills in even in single quotes; the value, often a secret, is not shown."""
    with pytest.raises(InvalidInputError, match=r"write %24\{") as caught:
        fill_template(read_template(), {"DATABASE_URL": "postgresql://me:sec${ret}@db/x"})

    assert "ret" not in str(caught.value)


def test_without_values_it_is_the_template() -> None:
    """Every line stays a comment."""
    assert fill_template(read_template(), {}) == read_template()


def test_only_the_lines_of_the_values_change() -> None:
    """The explanations stay."""
    before = read_template().splitlines()

    after = fill_template(read_template(), {"ORGANIZATION_ID": "acme"}).splitlines()

    assert [line for line in after if line not in before] == ["ORGANIZATION_ID=acme"]
    assert len(after) == len(before)


@pytest.mark.parametrize(
    "line", ["AGENTDB_POOL_SIZE=3", "# AGENTDB_POOL_SIZE=10", "export AGENTDB_POOL_SIZE=3", "  AGENTDB_POOL_SIZE = 3"]
)
def test_a_setting_is_mentioned_if_it_is_set_or_a_comment(line: str) -> None:
    """However it is written."""
    names = re.findall(r"^# (\w+)=", read_template(), re.MULTILINE)

    assert unmentioned(read_template(), f"OTHER=1\n{line}\n") == [name for name in names if name != "AGENTDB_POOL_SIZE"]
    assert unmentioned(read_template(), read_template()) == []


def test_the_template_as_a_whole_is_a_valid_file(tmp_path: Path) -> None:
    """With the two settings that everybody sets, agentdb reads it."""
    values = {"DATABASE_URL": "postgresql://me:p%23ss@db:5432/agents?sslmode=require", "ORGANIZATION_ID": "Äcme & 'co'"}
    (tmp_path / ".env").write_text(fill_template(read_template(), values), encoding="utf-8")

    settings = Settings.load(environment={}, directory=tmp_path)

    assert (settings.database_url, settings.organization_id) == tuple(values.values())
