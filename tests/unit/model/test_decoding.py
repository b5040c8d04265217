"""Data of other programs: whatever is wrong with it, there is one error."""

from __future__ import annotations

import msgspec
import pytest

from controller.model.value import UndecodableError, decoded
from support.table import tabled

NAMES = msgspec.json.Decoder(list[str])
ANY = msgspec.json.Decoder()


def test_data_that_fits_is_decoded() -> None:
    assert decoded(NAMES, b'["a"]') == ["a"]


@tabled(
    ("data", "words"),
    [
        (b'["a', "truncated"),
        (b"[1]", r"Expected `str`, got `int` - at `$[0]`"),
        (b'["\xff\xfe"]', "it is not UTF-8"),
        (b"[" * 200_000 + b"]" * 200_000, "nested too deep"),
    ],
)
def test_data_that_does_not_fit_is_one_error_that_says_why(data: bytes, words: str) -> None:
    with pytest.raises(UndecodableError) as caught:
        decoded(ANY if words == "nested too deep" else NAMES, data)
    assert words in str(caught.value)
