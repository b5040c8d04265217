"""What holds for each pool apart from its rule: its schedule, its tier's policy for blindness, and
what operators asked for, by an intent or by an annotation of the Deployment.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from functools import lru_cache
from typing import Final, NamedTuple, TypeVar
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from controller.model.fleet import BlindPolicy, Fleet, Pool
from controller.model.intents import Freeze, Intents, Pause, Pin, Scope
from controller.planning.annotations import Halt, read_freeze, read_halts
from controller.planning.schedules import Bounds, bounds_now

UTC: Final = ZoneInfo("UTC")

_Dated = TypeVar("_Dated", Pin, Pause, Freeze)


class Override(NamedTuple):
    """One pool's bounds now, its pinned spares, its pause, whether it is frozen, how its
    Deployment's annotations halt it, and what its tier wants of it when it is blind for long.
    """

    bounds: Bounds
    pin: Pin | None = None
    pause: Pause | None = None
    freeze: Freeze | None = None
    halts: tuple[Halt, ...] = ()
    blind: BlindPolicy | None = None


def spares_asked_for(pool: Pool, override: Override | None) -> int:
    """Spares on top of the work that the fleet file or an operator names by number."""
    configured = 0 if pool.warm is None else pool.warm.replicas or 0
    pin = None if override is None else override.pin
    return configured + (0 if pin is None else max(pin.replicas, 0))


class Overrides:
    """The overrides of a fleet at one moment, looked up by pool."""

    def __init__(self, fleet: Fleet, intents: Intents, now: float) -> None:
        self._zones = {tenant.name: _zone(tenant.timezone) for tenant in fleet.tenants}
        self._blind = {
            tenant.name: tenant.tier.blind
            for tenant in fleet.tenants
            if tenant.tier.blind is not None
        }
        self._pins = {pin.pool: pin for pin in _in_force(intents.pins, now)}
        self._pauses = tuple(_in_force(intents.pauses, now))
        self._freezes = tuple(_in_force(intents.freezes, now))
        self._now = now

    def of(self, pool: Pool, annotations: Mapping[str, str]) -> Override | None:
        """What holds for this pool, whose Deployment says this; None where nothing does."""
        asked = self._pins or self._pauses or self._freezes
        blind = self._blind.get(pool.tenant)
        if not (asked or pool.schedules or annotations or blind):
            return None
        freeze = next((each for each in self._freezes if concerns(each.scope, pool)), None)
        bounds = (
            bounds_now(
                pool.min,
                pool.max,
                pool.schedules,
                self._zones.get(pool.tenant, UTC),
                self._now,
            )
            if pool.schedules
            else Bounds(pool.min, pool.max)
        )
        return Override(
            bounds=bounds,
            pin=self._pins.get(pool.key),
            pause=next((each for each in self._pauses if concerns(each.scope, pool)), None),
            freeze=freeze or read_freeze(annotations, pool.key),
            halts=read_halts(annotations),
            blind=blind,
        )


@lru_cache(maxsize=512)
def _zone(name: str) -> ZoneInfo:
    try:
        return ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError):
        # refused when the fleet file is read; a fleet made by hand gets the plain clock
        return UTC


def _in_force(intents: Iterable[_Dated], now: float) -> Iterable[_Dated]:
    return (each for each in intents if each.until is None or now < each.until)


def concerns(scope: Scope, pool: Pool) -> bool:
    """Whether an intent with this scope is about this pool."""
    if scope.pool is not None:
        return scope.pool == pool.key
    return scope.tenant is None or scope.tenant == pool.tenant
