"""Sources that know nothing, and stores that keep nothing, where a test is not about them."""

from __future__ import annotations

from typing import Any

from controller.engine.observe import MetricPolls, Sources
from controller.model.observation import RefusedEvents
from controller.ports import Clock


class NoUsage:
    """No tenant uses tokens."""

    def read(self, _in_flight: object) -> dict[str, Any]:
        return {}

    def tiers(self) -> dict[str, Any]:
        return {}

    def by_model(self) -> dict[str, Any]:
        return {}

    def on_use(self, _callback: object) -> None:
        pass

    def measured(self, _pool: object) -> None:
        return None

    def refused(self) -> RefusedEvents:
        return RefusedEvents()

    counted = 0

    def spent(self) -> dict[str, Any]:
        return {}

    def go_on_from(self, _spent: object) -> None:
        pass


class NoWorkers:
    """Our user may not read what workers say."""

    def read(self, _pool: object) -> None:
        return None

    def is_unconfirmed(self, _pool: object) -> bool:
        return False

    async def tell(self, _pool: object, _orders: object) -> None:
        pass

    async def release(self, _pools: object) -> None:
        pass

    async def first_read(self, _timeout_s: float) -> None:
        pass

    def on_change(self, _callback: object) -> None:
        pass

    def problem(self) -> str:
        return ""


class NoAllowances:
    """Nothing reads what workers may use."""

    async def allow(self, _pool: object, _allowance: object) -> None:
        pass


class NoEvents:
    """Nothing is announced."""

    def announce(self, _pool: object, _news: object) -> None:
        pass

    def refusal(self) -> str:
        return ""


def sources(queues: Any, wakes: Any, cluster: Any, clock: Clock, **others: Any) -> Sources:
    """These sources; of usage, metrics and workers only those that are named."""
    quiet: dict[str, Any] = {
        "usage": NoUsage(),
        "metrics": MetricPolls((), clock, interval_s=1.0),
        "workers": NoWorkers(),
    }
    known = {name: each for name, each in others.items() if each is not None}
    return Sources(queues, wakes, cluster, cluster, **quiet | known)
