"""The words a person may type for a view or a theme.

The parser of the command line offers them in `--help`, so nothing heavy is imported here.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Final


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
ONCE_VIEWS: Final = tuple(each.name for each in VIEWS)
PRINTED_BY: Final[Mapping[str, str]] = MappingProxyType(
    {
        "audit": "agentdash intents --audit",
        "au": "agentdash intents --audit",
        "why": "agentdash why TENANT/POOL",
        "doctor": "agentdash doctor",
        "doc": "agentdash doctor",
    }
)
"""The verbs that print what is a view of the dashboard and none of `--once`."""
THEME_NAMES: Final = ("agentdash", "midnight", "paper", "colour-blind")
