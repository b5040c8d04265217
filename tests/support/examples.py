"""How many examples Hypothesis takes; tests/conftest.py registers the profiles."""

from __future__ import annotations

from hypothesis import settings


def scaled(examples: int) -> int:
    """So many examples where a profile takes 100, in proportion where it takes another number.

    A test that needs more examples than others, or whose examples are slow, says so with this.
    """
    return max(examples * settings.default.max_examples // 100, 1)
