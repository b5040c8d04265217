"""The words a person may type for a view or a theme.

The parser of the command line offers them in `--help`, so nothing heavy is imported here.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

DEFAULT_UNTIL: Final = "2h"
"""When an intent ends whose end nobody types, so that no intent is forgotten."""
NO_END: Final = "-"
"""What a person types for an intent that stays until it is taken back."""


@dataclass(frozen=True, slots=True)
class Command:
    """One command; `takes_pool` is True if a pool's name follows it, `takes_time` if a time, and
    `choices` are words of which one follows it. `operates`: it is for people who may change
    something.
    """

    name: str
    aliases: tuple[str, ...]
    help: str
    takes_pool: bool = False
    operates: bool = False
    takes_time: bool = False
    choices: tuple[str, ...] = ()


VIEWS: Final = (
    Command("overview", ("ov", "pulses"), "the fleet"),
    Command("pools", ("pl", "pool"), "all pools"),
    Command("queues", ("qu", "queue"), "work that waits"),
    Command("tenants", ("tn", "tenant"), "budgets, pauses"),
    Command("pods", ("po", "pod"), "every pod"),
    Command("nodes", ("no", "node"), "room by class"),
    Command("models", ("mo", "model"), "rate limits"),
    Command("events", ("ev", "event"), "what was scaled"),
    Command("attention", ("att", "alerts"), "what is wrong"),
    Command("info", ("in",), "who decides here"),
)
SNAPSHOT_VIEWS: Final = (*(each.name for each in VIEWS), "why")
"""The views that are printed of a snapshot; `why` may be of one pool."""
ASKED_VIEWS: Final = ("audit", "doctor")
"""The views that are asked for where they are printed: no snapshot has them."""
HELP_VIEW: Final = "help"
"""The view that is the same for every fleet, so that nothing is read or asked for."""
ONCE_VIEWS: Final = (*SNAPSHOT_VIEWS, *ASKED_VIEWS, HELP_VIEW)
THEME_NAMES: Final = ("agentdash", "midnight", "paper", "colour-blind")
