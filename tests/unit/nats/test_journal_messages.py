"""A line of the journal as messages, and made from messages again."""

from __future__ import annotations

import zlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from controller.nats.journal_stream import (
    PLAIN_BYTES,
    LineAssembly,
    LinePart,
    PartId,
    part_id,
    parts_of,
)
from controller.record.journal_files import hash_of


def line_of(text: str) -> bytes:
    return b'{"kind":"whole","text":"' + text.encode() + b'"}\n'


@given(st.binary(max_size=3000), st.integers(min_value=40, max_value=1000))
def test_a_line_is_the_same_after_all_its_parts_and_none_is_too_large(
    noise: bytes, most: int
) -> None:
    line = line_of(noise.hex())
    parts = parts_of(line, most)
    assert all(len(part.data) <= most for part in parts)
    assembly = LineAssembly()
    *first, last = parts
    assert [assembly.add(part) for part in first] == [None] * len(first)
    assert assembly.add(last) == line


def test_a_short_line_is_a_message_that_people_can_read() -> None:
    line = line_of("short")
    [part] = parts_of(line, 1_000_000)
    assert part.data == line
    assert part_id({"Nats-Msg-Id": str(part.id)}) == PartId(hash_of(line), 0, 1)
    assert len(parts_of(line_of("x" * PLAIN_BYTES), 1_000_000)[0].data) < 1000


def test_what_a_writer_left_unfinished_is_dropped_and_the_next_line_is_whole() -> None:
    long, other = (line_of("".join(str(n * k) for n in range(3000))) for k in (3, 7))
    assembly = LineAssembly()
    for part in parts_of(long, 1000)[:-1]:
        assert assembly.add(part) is None
    found = [assembly.add(part) for part in parts_of(other, 1000)]
    assert found[-1] == other


def test_parts_out_of_order_make_no_line() -> None:
    parts = parts_of(line_of("".join(str(n * 3) for n in range(3000))), 1000)
    assert len(parts) > 3
    assembly = LineAssembly()
    assert all(assembly.add(part) is None for part in (parts[0], *parts[2:]))
    assert all(assembly.add(part) is None for part in parts[1:])


DAMAGES = {
    "another line": line_of("changed"),
    "not compressed": b"junk",
    "cut": zlib.compress(line_of("x" * 9000))[:-5],
    "empty": b"",
}


@pytest.mark.parametrize("data", DAMAGES.values(), ids=DAMAGES)
def test_a_line_whose_hash_is_another_is_none(data: bytes) -> None:
    [part] = parts_of(line_of("as it was"), 1_000_000)
    assert LineAssembly().add(LinePart(part.id, data)) is None


@pytest.mark.parametrize(
    "found", [None, {}, {"Nats-Msg-Id": "x"}, {"Nats-Msg-Id": f"{'a' * 32}-3-3"}]
)
def test_a_message_of_something_else_is_no_part(found: dict[str, str] | None) -> None:
    assert part_id(found) is None
