"""What operators asked for. Kept apart from the fleet file: an intent has a person, a reason and an
end.
"""

from __future__ import annotations

from controller.model.value import Value


class Scope(Value):
    """What an intent concerns: one pool (`tenant/name`), one tenant, or with neither the fleet."""

    tenant: str | None = None
    pool: str | None = None


class Pin(Value):
    """Spare replicas kept ready on top of min and of what the work needs; ceilings win."""

    pool: str
    replicas: int
    until: float | None = None
    who: str = ""
    why: str = ""


class Pause(Value):
    """The work stops: target 0, busy replicas finish first. `keep` replicas are kept instead."""

    scope: Scope
    keep: int | None = None
    until: float | None = None
    who: str = ""
    why: str = ""


class Freeze(Value):
    """Hands off: nothing is written."""

    scope: Scope
    until: float | None = None
    who: str = ""
    why: str = ""


class Intents(Value):
    """The intents in force; `until` is in Unix seconds."""

    pins: tuple[Pin, ...] = ()
    pauses: tuple[Pause, ...] = ()
    freezes: tuple[Freeze, ...] = ()
