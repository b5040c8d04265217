"""Policies to compare with the planner: a fixed size, and an HPA with KEDA."""

from __future__ import annotations

import math
from typing import Final, NamedTuple

from controller.model.fleet import Behavior, PolicyType, ScalingPolicy, ScalingRules
from controller.model.memory import RecommendationRun, ScaleChange
from controller.planning.demand.hpa_metrics import object_average_value
from controller.planning.inputs import Moment, Tolerance
from controller.planning.memory import longest_period_s, record_change
from controller.planning.windows import limit_change, longest_window_s, remember, stabilize
from controller.simulate.world import Answer, SeenPool


class HpaKedaSettings(NamedTuple):
    """The settings of a ScaledObject and its HPA; times in seconds.

    `target_milli` is thousandths of a message per slot. `in_flight_counts`: the trigger counts
    messages in flight too, as KEDA's nats-jetstream scaler does.
    """

    behavior: Behavior
    polling_s: float = 30.0
    sync_s: float = 15.0
    cooldown_s: float = 300.0
    target_milli: int = 1000
    minimum: int = 0
    maximum: int = 100
    in_flight_counts: bool = True


_DOUBLE: Final = ScalingPolicy(type=PolicyType.PERCENT, value=100, period_s=15)
_FOUR: Final = ScalingPolicy(type=PolicyType.PODS, value=4, period_s=15)
# what KEDA and the HPA do where nothing is said
DEFAULT_SETTINGS: Final = HpaKedaSettings(
    behavior=Behavior(
        scale_up=ScalingRules(stabilization_window_s=0, policies=(_FOUR, _DOUBLE)),
        scale_down=ScalingRules(stabilization_window_s=300, policies=(_DOUBLE,)),
    ),
)

# polled every 2 s, with the HPA's default windows, and one spare replica for every four busy ones
TUNED_SETTINGS: Final = HpaKedaSettings(
    behavior=Behavior(
        scale_up=ScalingRules(stabilization_window_s=0),
        scale_down=ScalingRules(stabilization_window_s=300),
    ),
    polling_s=2.0,
    sync_s=2.0,
    target_milli=800,
)


class Static:
    """A fixed number of replicas."""

    interval_s = 0.0
    on_events = False

    def __init__(self, replicas: int) -> None:
        self._replicas = replicas

    def look(self, seen: SeenPool, now: float) -> Answer:  # noqa: ARG002 - a fixed size needs neither
        """The fixed number; it never looks again."""
        return Answer(self._replicas)


class Reactive:
    """As many replicas as the messages fill, at every moment, between `minimum` and `maximum`."""

    interval_s = 0.0
    on_events = True

    def __init__(self, minimum: int, maximum: int) -> None:
        self._minimum, self._maximum = minimum, maximum

    def look(self, seen: SeenPool, now: float) -> Answer:  # noqa: ARG002 - it has no past
        """The replicas for the messages that wait or are worked on."""
        filled = -(-(seen.pending + seen.in_flight) // seen.slots)
        return Answer(min(max(filled, self._minimum), self._maximum))


class HpaKeda:
    """KEDA's loop scales a pool from 0 to 1 and back to 0; its HPA scales it above that.

    Each loop runs at multiples of its own period. Both use the planner's port of their arithmetic.
    """

    on_events = False

    def __init__(self, settings: HpaKedaSettings) -> None:
        self.interval_s = 0.0
        self._settings = settings
        self._history: tuple[RecommendationRun, ...] = ()
        self._added: tuple[ScaleChange, ...] = ()
        self._removed: tuple[ScaleChange, ...] = ()
        self._active_at = 0.0
        self._synced_at = 0.0

    def look(self, seen: SeenPool, now: float) -> Answer:
        """Run the loops that are due."""
        settings = self._settings
        replicas = seen.replicas
        messages = seen.pending + (seen.in_flight if settings.in_flight_counts else 0)
        if _due(now, settings.polling_s):
            replicas = self._keda(replicas, messages, now)
        if _due(now, settings.sync_s) and replicas > 0:
            replicas = self._hpa(replicas, messages, seen.slots, now)
        look_at = min(_next(now, settings.polling_s), _next(now, settings.sync_s))
        return Answer(replicas, look_at)

    def _keda(self, replicas: int, messages: int, now: float) -> int:
        settings = self._settings
        if messages > 0:
            self._active_at = now
            return max(replicas, settings.minimum, 1)
        if replicas > settings.minimum == 0 and self._active_at + settings.cooldown_s < now:
            return 0
        return max(replicas, settings.minimum)

    def _hpa(self, replicas: int, messages: int, slots: int, now: float) -> int:
        settings, behavior = self._settings, self._settings.behavior
        wanted = object_average_value(
            messages * 1000, settings.target_milli * slots, replicas, Tolerance()
        ).replicas
        if not self._history:  # HPA: the present size counts as the first recommendation
            first = RecommendationRun(replicas=replicas, first_at=now, last_at=now)
            self._history = (first,)
        low = max(settings.minimum, 1)
        looked_at, self._synced_at, moment = self._synced_at, now, Moment(now)
        stable = stabilize(
            replicas,
            max(wanted, low),
            self._history,
            behavior,
            planned_at=looked_at,
            moment=moment,
        )
        self._history = remember(
            self._history,
            wanted,
            longest_window_s(behavior),
            planned_at=looked_at,
            moment=moment,
        )
        after = limit_change(
            replicas,
            stable,
            low=low,
            high=settings.maximum,
            behavior=behavior,
            added=self._added,
            removed=self._removed,
            moment=moment,
        ).replicas
        keep_s = max(longest_period_s(behavior.scale_up), longest_period_s(behavior.scale_down))
        if after > replicas:
            self._added = record_change(self._added, after - replicas, now, keep_s)
        elif after < replicas:
            self._removed = record_change(self._removed, replicas - after, now, keep_s)
        return after


def _due(now: float, period_s: float) -> bool:
    return math.isclose(now % period_s, 0.0, abs_tol=1e-9)


def _next(now: float, period_s: float) -> float:
    return (math.floor(now / period_s + 1e-9) + 1) * period_s
