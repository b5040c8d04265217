"""Operators' intents. They are not in the fleet file, because an intent has an author, a reason and
an end.
"""

from __future__ import annotations

from controller.model.value import Value


class Scope(Value):
    """The pools that an intent is for: one pool (`tenant/name`), one tenant's, or all if neither is
    given.
    """

    tenant: str | None = None
    pool: str | None = None


class Pin(Value):
    """Spare replicas on top of min and of what the work needs, but never above a ceiling."""

    pool: str
    replicas: int
    until: float | None = None
    who: str = ""
    why: str = ""


class Pause(Value):
    """Stop the work: the target is 0, or `keep` replicas if given. Busy replicas finish first."""

    scope: Scope
    keep: int | None = None
    until: float | None = None
    who: str = ""
    why: str = ""


class Freeze(Value):
    """Write nothing to the pools."""

    scope: Scope
    until: float | None = None
    who: str = ""
    why: str = ""


class Intents(Value):
    """The intents in force. `until` is in Unix seconds, None without an end."""

    pins: tuple[Pin, ...] = ()
    pauses: tuple[Pause, ...] = ()
    freezes: tuple[Freeze, ...] = ()
