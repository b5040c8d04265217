"""Decodes machine data from outside: no bytes that a server or a bucket holds can do more harm than
to be refused.

UndecodableError    the data cannot be read; the text says why, in one short line
"""

from __future__ import annotations

from typing import Final, Protocol, TypeVar

import msgspec

from controller.model.text import clean

T_co = TypeVar("T_co", covariant=True)
T = TypeVar("T")

_SHOWN: Final = 120


class UndecodableError(ValueError):
    """The data is too long, nested too deeply, no JSON, or not what it should be."""


class Decoder(Protocol[T_co]):
    """What msgspec's decoders of JSON and MessagePack have in common."""

    def decode(self, data: bytes, /) -> T_co:
        """The value. msgspec bounds the depth by the interpreter's own limit."""
        ...


def decoded(decoder: Decoder[T], data: bytes | msgspec.Raw, *, most_bytes: int | None = None) -> T:
    """The value, of at most so many bytes; None where the reader has bounded them. Raises
    UndecodableError.
    """
    if most_bytes is not None and len(data) > most_bytes:
        raise UndecodableError(f"{len(data):,} bytes, more than {most_bytes:,}")
    try:
        return decoder.decode(data)
    except RecursionError:
        raise UndecodableError("it is nested too deeply") from None
    except UnicodeDecodeError:
        raise UndecodableError("it is not UTF-8") from None
    except msgspec.DecodeError as error:
        raise UndecodableError(clean(error, _SHOWN)) from None
