"""Asks the person at the terminal: why, and whether it shall be done. Questions go to standard
error, so that standard output holds the answer alone.
"""

from __future__ import annotations

import sys

from agentdash.danger import Danger
from agentdash.output import complain

_YES = frozenset({"y", "yes"})


class QuestionError(Exception):
    """There is nobody to ask; the text says which option answers instead."""


def ask_why(given: str | None) -> str:
    """The reason as it was given, else as the person types it. Raises QuestionError."""
    if given is not None:
        if not given.strip():
            raise QuestionError('--why is empty: say why, or "-" for no reason')
        return given.strip()
    if not _is_terminal():
        raise QuestionError('--why is needed: others will read it; "-" for no reason')
    answer = _ask('why? ("-" for no reason) ')
    if not answer:
        raise QuestionError("without a reason nothing is asked for")
    return answer


def agreed(danger: Danger, scope: str, fleet: str, statement: str) -> bool:
    """Whether the person agrees: by y for a pool or a tenant, by the fleet's name for all of it.
    Raises QuestionError where nobody can be asked.
    """
    if not _is_terminal():
        raise QuestionError("not a terminal, so nobody can be asked: --yes agrees beforehand")
    if statement:
        complain(statement)
    if danger is Danger.FLEET:
        return _ask(f"this concerns the whole fleet; type {fleet} to confirm: ") == fleet
    words = scope if danger is Danger.POOL else f"all pools of {scope}"
    return _ask(f"do it for {words}? y/N ").lower() in _YES


def _is_terminal() -> bool:
    return all(stream is not None and stream.isatty() for stream in (sys.stdin, sys.stderr))


def _ask(question: str) -> str:
    """The answer without the line break; empty at the end of the input."""
    sys.stderr.write(question)
    sys.stderr.flush()
    return sys.stdin.readline().strip()
