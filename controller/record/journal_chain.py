"""The chain of a journal's lines: each carries the hash of the one before it, so that a line which
was changed, removed or put in is found. A hash without a key is no proof against who can write all
of the file.
"""

from __future__ import annotations

import re
from hashlib import blake2b
from typing import Final

_DIGEST_BYTES: Final = 16
_LINK: Final = re.compile(rb',"follows":"([0-9a-f]{32})"\}\n?\Z')


def linked(line: bytes, before: str) -> bytes:
    """The line with the hash of the one before it; the same if that is not known (empty)."""
    if not before:
        return line
    return line.removesuffix(b"}\n") + b',"follows":"' + before.encode() + b'"}\n'


def link_of(line: bytes) -> str:
    """The hash that the line carries; empty if it carries none."""
    found = _LINK.search(line, max(0, len(line) - 64))
    return "" if found is None else found[1].decode()


def without_link(line: bytes) -> bytes:
    """The line as it was before it was linked, without its end of line."""
    found = _LINK.search(line, max(0, len(line) - 64))
    return line.removesuffix(b"\n") if found is None else line[: found.start()] + b"}"


def hash_of(line: bytes) -> str:
    """The hash of a whole line, with what it carries and its end of line."""
    return blake2b(line, digest_size=_DIGEST_BYTES).hexdigest()
