"""Text for the clipboard of the person's own terminal (OSC 52), also through tmux and screen."""

from __future__ import annotations

import base64
from collections.abc import Mapping
from typing import Final

MOST_BYTES: Final = 74_994
"""The longest text: terminals take a sequence of 100,000 bytes, as hterm and xterm document."""
# screen takes strings of 256 bytes
_PART: Final = 200


class TooLongError(ValueError):
    """The text is longer than terminals take."""


def clipboard_sequence(text: str, environment: Mapping[str, str]) -> str:
    """What to write to the terminal. Raises TooLongError.

    tmux takes the sequence itself (`set-clipboard on`) or hands a wrapped one on
    (`allow-passthrough on`), so it gets both.
    """
    content = text.encode("utf-8", "replace")
    if len(content) > MOST_BYTES:
        raise TooLongError
    plain = f"\x1b]52;c;{base64.b64encode(content).decode('ascii')}\x07"
    if environment.get("TMUX"):
        inner = plain.replace("\x1b", "\x1b\x1b")
        return f"{plain}\x1bPtmux;{inner}\x1b\\"
    if environment.get("STY"):
        parts = (plain[start : start + _PART] for start in range(0, len(plain), _PART))
        return "".join(f"\x1bP{part}\x1b\\" for part in parts)
    return plain
