"""The one place where codes become prose for the screen."""

from __future__ import annotations

from controller.model.decision import Decision
from controller.planning.explain import sentence, title

__all__ = ["last_word", "sentence", "spoken", "title"]


def last_word(decision: Decision) -> str:
    """The sentence of the rule applied last: why the number is what it is."""
    return sentence(decision.reasons[-1]) if decision.reasons else "no rule had anything to say"


def spoken(code: str) -> str:
    """A code as words: `not_becoming_ready` is `not becoming ready`."""
    return str(code).replace("_", " ")
