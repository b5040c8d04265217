"""A table of cases in one test tells each that fails, by its name, and passes when none does."""

from __future__ import annotations

import pytest

from support.table import tabled

seen_so_far: list[tuple[int, str]] = []


@tabled("number", [1, pytest.param(2, id="two"), 3])
@tabled(("word", "is_right"), [("a", True), ("b", False)], ids=["first", "second"])
def tried(number: int, word: str, *, is_right: bool) -> None:
    seen_so_far.append((number, word))
    if not is_right and number == 2:
        pytest.fail("wrong")
    assert is_right or number == 1


def test_all_cases_are_tried_and_those_that_fail_are_told_together() -> None:
    with pytest.raises(BaseExceptionGroup, match="2 of 3 cases") as caught:
        tried()
    assert seen_so_far == [(1, "a"), (1, "b"), (2, "a"), (2, "b"), (3, "a"), (3, "b")]
    [second, third] = caught.value.exceptions
    assert (second.__notes__, third.__notes__) == (["the case: two"], ["the case: (3,)"])
    assert isinstance(second, BaseExceptionGroup)
    assert second.exceptions[0].__notes__ == ["the case: second"]
