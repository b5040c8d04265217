"""What a dashboard shows as plain lines: the twin of a picture, for eyes and for diffs."""

from __future__ import annotations

from collections.abc import Sequence
from unicodedata import lookup

from textual.events import Key
from textual.keys import REPLACED_KEYS, _character_to_key, _get_unicode_name_from_key
from textual.pilot import Pilot

from agentdash.tui.app import Dashboard

NAMES = {":": "colon", "/": "slash", " ": "space", "|": "vertical_line"}
OPENS_PROMPT = frozenset({"colon", "slash"})


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


async def press(pilot: Pilot[None], *keys: str) -> None:
    """Press keys. A text in the prompt comes as fast as a terminal sends it when a person types
    ahead or pastes; each other key waits until the one before it is drawn.
    """
    typing = False
    for key in keys:
        typing = key in OPENS_PROMPT or (typing and (len(key) == 1 or key in NAMES.values()))
        if typing:
            driver = pilot.app._driver
            assert driver is not None
            driver.send_message(key_event(key))
        else:
            await pilot.press(key)
    await pilot.pause()


async def at_rest(app: Dashboard, pilot: Pilot[None]) -> None:
    """The command palette searches in the background: its last search has ended and is shown."""
    await pilot.pause()
    while running := [each for each in app.workers if not each.is_finished]:
        await app.workers.wait_for_complete(running)
        await pilot.pause()


def screen_lines(app: Dashboard) -> list[str]:
    """Every line of the screen, without the blanks at its end."""
    strips = app.screen._compositor.render_strips(app.size)
    return ["".join(segment.text for segment in strip).rstrip() for strip in strips]


async def shown(app: Dashboard, keys: Sequence[str], size: tuple[int, int]) -> list[str]:
    """The lines after these keys."""
    async with app.run_test(size=size) as pilot:
        await pilot.pause()
        await press(pilot, *keys)
        return screen_lines(app)
