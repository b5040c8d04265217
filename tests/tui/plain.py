"""What a dashboard shows as plain lines: the twin of a picture, for eyes and for diffs."""

from __future__ import annotations

from collections.abc import Sequence
from unicodedata import lookup

from textual.events import Key
from textual.keys import REPLACED_KEYS, _character_to_key, _get_unicode_name_from_key

from agentdash.tui.app import Dashboard

NAMES = {":": "colon", "/": "slash", " ": "space", "|": "vertical_line"}


def typed(text: str) -> list[str]:
    """The keys that type this text."""
    return [NAMES.get(character, character) for character in text]


def key_event(key: str) -> Key:
    """The event that a terminal's driver makes of a key."""
    named = REPLACED_KEYS.get(key, key)
    try:
        character = lookup(_get_unicode_name_from_key(named))
    except KeyError:
        character = key if len(key) == 1 else None
    return Key(_character_to_key(key) if len(key) == 1 and not key.isalnum() else key, character)


def screen_lines(app: Dashboard) -> list[str]:
    """Every line of the screen, without the blanks at its end."""
    strips = app.screen._compositor.render_strips(app.size)
    return ["".join(segment.text for segment in strip).rstrip() for strip in strips]


async def shown(app: Dashboard, keys: Sequence[str], size: tuple[int, int]) -> list[str]:
    """The lines after these keys."""
    async with app.run_test(size=size) as pilot:
        await pilot.pause()
        for key in keys:
            await pilot.press(key)
        await pilot.pause()
        return screen_lines(app)
