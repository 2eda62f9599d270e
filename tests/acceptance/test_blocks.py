"""What finds code blocks and compares outputs: it must miss nothing, and must not call wrong right."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.acceptance.blocks import Block, find_blocks, is_as_shown
from tests.acceptance.reader import Reader
from tests.acceptance.shell import Command, commands_of, look_at

PAGE = """\
# A page
```python title="main.py" hl_lines="1"
# no heading
```
## Steps
1. First
    ```bash
    ls
    ```
=== "Left"
    <!-- numbers vary -->
    ```text
    1
      2
    ```
<!--sql
SELECT 1
-->
```
a drawing
```
"""


def test_every_block_is_found() -> None:
    """In lists, in tabs and in comments, with its heading, its line and its code."""
    found = [(b.language, b.title, b.heading, b.line, b.code, b.is_hidden, b.numbers_vary) for b in find_blocks(PAGE)]

    assert found == [
        ("python", "main.py", "A page", 3, "# no heading\n", False, False),
        ("bash", "", "Steps", 8, "ls\n", False, False),
        ("text", "", "Left", 13, "1\n  2\n", False, True),
        ("sql", "", "Left", 17, "SELECT 1\n", True, False),
        ("", "", "Left", 20, "a drawing\n", False, False),
    ]


@pytest.mark.parametrize(
    "page", ["```python\n1\n", "```python\n1\n  ```\n", "<!--python\n1\n", "- a\n  ```bash\nls\n```\n"]
)
def test_a_block_that_is_not_closed_is_an_error(page: str) -> None:
    """It would be left out silently."""
    with pytest.raises(ValueError, match="not closed"):
        list(find_blocks(page))


@pytest.mark.parametrize(
    ("shown", "printed"),
    [
        ("a  b\n", "a b"),
        ("a … b\n", "a x y b\n"),
        ("…\nb\n", "1\n2\nb\n"),
        ("…\nb\n", "b\n"),
        ("a\n…\n", "a\n1\n2\n"),
        ("── a\n", "──── a\n"),
        ("  a\n", "a\n"),
    ],
)
def test_an_output_is_as_shown(shown: str, printed: str) -> None:
    """Up to layout, and to what the page leaves out."""
    assert is_as_shown(shown, printed)


@pytest.mark.parametrize(
    ("shown", "printed"),
    [
        ("a\n", "b\n"),
        ("a\n", "a\nb\n"),
        ("a\nb\n", "a\n"),
        ("a … b\n", "a\nb\n"),
        ("1\n", "2\n"),
        ("…\nb\n", "1\n"),
        ("a.c\n", "abc\n"),
    ],
)
def test_an_output_is_not_as_shown(shown: str, printed: str) -> None:
    """Another text, more lines or fewer, another number."""
    assert not is_as_shown(shown, printed)


def test_numbers_may_vary_and_words_may_not() -> None:
    """A number is a number, with its separators, wherever it stands."""
    assert is_as_shown("12,407 rows in 1.9 s, 2026-11-28\n", "3 rows in 10 s, 2025-01-01\n", numbers_vary=True)
    assert is_as_shown("p95 11.5 ms -\n", "p95 1.2 s -\n", numbers_vary=True)
    assert not is_as_shown("11.5 ms\n", "11.5 min\n", numbers_vary=True)
    assert not is_as_shown("2 rows\n", "no rows\n", numbers_vary=True)


@given(st.text().filter(lambda text: "…" not in text))
def test_every_output_is_as_it_is(text: str) -> None:
    """No character of an output is an operator."""
    assert is_as_shown(text, text)


def test_commands_are_taken_apart() -> None:
    """By lines, or by their prompts with what they print."""
    assert list(commands_of("bash", "# why\nls \\\n  -l\npwd  # where\n")) == [
        Command("ls \\\n  -l"),
        Command("pwd  # where"),
    ]
    assert list(commands_of("console", "$ ls\na\nb\n$ false  # exit 1\n")) == [
        Command("ls", "a\nb\n"),
        Command("false  # exit 1"),
    ]
    assert Command("false  # exit 1").exit_status == 1


@pytest.mark.parametrize(
    "text", ["make nothing", "pip install 'agentdb[nothing]'", "agentdb demo --nothing", "agentdb nothing"]
)
def test_a_command_that_is_not_run_is_looked_at(text: str) -> None:
    """What it names has to be there."""
    with pytest.raises(Exception, match="nothing"):
        look_at(Command(text))


@pytest.mark.parametrize(
    "page",
    [
        "```python\nprint(1)\n```\n```text\n2\n```\n",
        "```python\nprint(1)\n```\n",
        "```text\n1\n```\n",
        "```cobol\n1\n```\n",
        "```\n$ ls\n```\n",
        "```\nimport this\n```\n",
        "```bash\nfalse\n```\n",
        "```console\n$ echo 1\n2\n```\n",
        "```console\n$ true  # exit 1\n```\n",
        "```dotenv\nAGENTDB_NOTHING=1\n```\n",
        '```python title="test_it.py"\ndef test_it():\n    assert False\n```\n',
    ],
)
async def test_a_wrong_page_fails(page: str, tmp_path: Path) -> None:
    """And says at which line."""
    reader = Reader("page.md", tmp_path, {}, {"PATH": os.environ["PATH"], "PWD": str(tmp_path)}, {}, str)
    blocks: list[Block] = list(find_blocks(page))

    with pytest.raises((AssertionError, OSError)) as caught:
        await reader.read(blocks)

    assert "at page.md, line" in caught.value.__notes__[0]
