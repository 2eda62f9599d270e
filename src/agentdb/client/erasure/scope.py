"""What is to be erased: an agent, what is about somebody, or all of an organization. Pure."""

from __future__ import annotations

from typing import NamedTuple

from agentdb.errors import InvalidInputError
from agentdb.validation import check_flag, check_text

__all__ = ["Erased", "Scope", "erasure_scope"]

_ONE = "is missing: say agent_id=…, subject=… or organization=True, and one of them alone."
_MOST_CHARACTERS = 1000


class Scope(NamedTuple):
    """
    Exactly one of three.

    Attributes:
        agent_id: This agent.
        subject: Whoever it is that data is about.
        key: Where data says whom it is about.

    With neither an agent nor a subject it is the whole organization.
    """

    agent_id: str | None
    subject: str | None
    key: str


class Erased(NamedTuple):
    """What an erasure came to."""

    rows: dict[str, int]
    """How many rows it deleted, or would, by table; tables of which it deletes nothing are left out."""
    residue: dict[str, int]
    """Where what was erased is still spoken of: how many rows, by "table.column". Empty after a dry run."""
    unread: dict[str, int]
    """
    How many sealed values there were that could not be looked into for lack of their key, by "table.column"; they are
    in no count of *residue*.
    """
    is_complete: bool
    """
    Whether everything that was asked for is gone; False when it was not even tried, and when others stored more of it
    meanwhile: erase again.
    """


def erasure_scope(agent_id: object, subject: object, key: object, *, organization: object) -> Scope:
    """
    Return what is to be erased.

    Raises:
        InvalidInputError: It is none of the three, or several; nothing is ever taken for "everything".
    """
    everything = check_flag(organization, "organization")
    if (agent_id is not None) + (subject is not None) + everything != 1:
        raise InvalidInputError("scope", _ONE)
    return Scope(
        None if agent_id is None else check_text(agent_id, "agent_id"),
        None if subject is None else check_text(subject, "subject", at_most=_MOST_CHARACTERS),
        check_text(key, "key"),
    )
