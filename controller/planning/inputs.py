"""What the steps start from: the time, the fleet file's terms, what is in force for each pool.

Source of the annotations: kedacore/keda pkg/scaling/executor/scale_scaledobjects.go and
apis/keda/v1alpha1/scaledobject_types.go.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime, timedelta
from functools import lru_cache
from math import inf, nextafter
from operator import itemgetter
from typing import Final, NamedTuple
from zoneinfo import ZoneInfo

import msgspec

from controller.model.fleet import (
    Behavior,
    BlindPolicy,
    CronWindow,
    MetricSpec,
    NativeCosts,
    Pool,
    Schedule,
    WeeklyWindow,
)
from controller.model.ids import PoolKey
from controller.model.intents import Intent, IntentKey, IntentKind, Intents, Scope
from controller.model.memory import PoolMemory
from controller.model.observation import PoolObservation, Workload
from controller.notation.cron import CronError, last_firing, read_cron
from controller.notation.formula import Formula, FormulaError


class Moment:
    """The time `now` (Unix seconds) for the rules of one pool.

    Rules compare times only by `reached` and `passed`, which note when their answer will change.
    Before `changes_at`, the earliest of these times, the same input gives the same result.
    """

    __slots__ = ("changes_at", "now")

    def __init__(self, now: float, changes_at: float = inf) -> None:
        self.now = now
        self.changes_at = changes_at

    def reached(self, at: float) -> bool:
        """Whether it is `at` or later."""
        if at <= self.now:
            return True
        self.changes_at = min(self.changes_at, at)
        return False

    def note(self, at: float) -> None:
        """Note that an answer may change at `at`, a time after now."""
        self.changes_at = min(self.changes_at, at)

    def passed(self, at: float) -> bool:
        """Whether it is later than `at`."""
        return self.reached(nextafter(at, inf))


PAUSED: Final = "autoscaling.keda.sh/paused"
PAUSED_REPLICAS: Final = "autoscaling.keda.sh/paused-replicas"
PAUSED_SCALE_IN: Final = "autoscaling.keda.sh/paused-scale-in"
PAUSED_SCALE_OUT: Final = "autoscaling.keda.sh/paused-scale-out"
FORCE_ACTIVATION: Final = "autoscaling.keda.sh/force-activation"
FREEZE: Final = "agentdash.dev/freeze"
PAUSES: Final = frozenset({PAUSED, PAUSED_REPLICAS, PAUSED_SCALE_IN, PAUSED_SCALE_OUT})

# at most as many digits as 32 bits need; Python refuses to read much longer numbers
_REPLICAS: Final = re.compile(r"([+-]?)0*([0-9]{1,10})")
# Go's strconv.ParseBool; KEDA reads any other text as true
_FALSE: Final = frozenset({"0", "f", "F", "false", "FALSE", "False"})


class Halt(NamedTuple):
    """KEDA's pause of one Deployment, and the annotation that asks for it.

    If both directions are paused, the size is `keep` replicas, or the present size if `keep` is
    None. `unreadable` is the annotation's text if it should be a number but is not; then the
    Deployment keeps its present size.
    """

    annotation: str
    grows: bool = False
    shrinks: bool = False
    keep: int | None = None
    unreadable: str | None = None

    @property
    def holds(self) -> bool:
        """Whether the Deployment stays at its present size, whatever that is."""
        return not self.grows and not self.shrinks and self.keep is None


def read_halts(annotations: Mapping[str, str]) -> tuple[Halt, ...]:
    """The pauses in force: one for both directions, else one for each that is paused. KEDA: a
    number of replicas wins over a plain pause.
    """
    if PAUSED_REPLICAS in annotations:
        text = annotations[PAUSED_REPLICAS]
        found = _REPLICAS.fullmatch(text)
        replicas = -1 if found is None else int("".join(found.groups()))
        if not 0 <= replicas < 2**31:
            return (Halt(PAUSED_REPLICAS, unreadable=text),)
        return (Halt(PAUSED_REPLICAS, keep=replicas),)
    if is_on(annotations, PAUSED):
        return (Halt(PAUSED),)
    halts = []
    if is_on(annotations, PAUSED_SCALE_IN):
        halts.append(Halt(PAUSED_SCALE_IN, grows=True))
    if is_on(annotations, PAUSED_SCALE_OUT):
        halts.append(Halt(PAUSED_SCALE_OUT, shrinks=True))
    return tuple(halts)


def read_freeze(workload: Workload, pool: PoolKey) -> Intent | None:
    """The freeze by annotation of the Deployment or its namespace; its value is the reason."""
    scope = Scope(pool=pool)
    if is_on(workload.annotations, FREEZE):
        return Intent(
            kind=IntentKind.FREEZE, scope=scope, who=FREEZE, why=workload.annotations[FREEZE]
        )
    if (why := workload.namespace_freeze) is not None and is_on({FREEZE: why}, FREEZE):
        return Intent(
            kind=IntentKind.FREEZE, scope=scope, who=f"{FREEZE} on its namespace", why=why
        )
    return None


def is_on(annotations: Mapping[str, str], name: str) -> bool:
    """Whether a switch is on. KEDA: any value but a false one turns it on, "banana" included."""
    value = annotations.get(name)
    return value is not None and value not in _FALSE


_MINUTE_S: Final = 60
_FIRINGS_KEPT: Final = 16_384


class ScheduledBounds(NamedTuple):
    """A pool's min and max now; `scheduled` is true if an open window set one of them."""

    min: int
    max: int
    scheduled: bool = False


def bounds_now(
    minimum: int, maximum: int, schedules: Sequence[Schedule], zone: ZoneInfo, moment: Moment
) -> ScheduledBounds:
    """The pool's own bounds, or those of the windows that are open: of several windows the largest
    min and the smallest max.

    The times of a weekly window are local clock times: if the clocks skip or repeat an hour, the
    window is open whenever the clock shows a time in it. A cron window opens when its expression
    fires (`last_firing` says what that is on days on which the clocks change) and stays open for
    its duration, whatever the clocks do meanwhile; if it fires again while it is open, the duration
    starts again.
    """
    # windows open and close on whole minutes, except that a cron window may close within one
    moment.note((moment.now // _MINUTE_S + 1) * _MINUTE_S)
    open_now = [each for each in schedules if _is_open(each, zone, moment)]
    if not open_now:
        return ScheduledBounds(minimum, maximum)
    low = max((each.min for each in open_now if each.min is not None), default=minimum)
    high = min((each.max for each in open_now if each.max is not None), default=maximum)
    # a window that sets only one of the two must not make min larger than max
    if all(each.min is None for each in open_now):
        low = min(low, high)
    if all(each.max is None for each in open_now):
        high = max(low, high)
    return ScheduledBounds(low, max(low, high), scheduled=True)


def _is_open(schedule: Schedule, zone: ZoneInfo, moment: Moment) -> bool:
    match schedule.window:
        case WeeklyWindow() as window:
            # the time of day is rounded to microseconds, so only a whole minute is never early
            return _is_open_weekly(window, zone, moment.now // _MINUTE_S * _MINUTE_S)
        case CronWindow() as window:
            opened_at = _opened_at(window, zone, int(moment.now // _MINUTE_S))
            return opened_at is not None and not moment.reached(opened_at + window.for_s)


def _is_open_weekly(window: WeeklyWindow, zone: ZoneInfo, now: float) -> bool:
    local = datetime.fromtimestamp(now, zone)
    minute = local.hour * 60 + local.minute
    if window.from_minute < window.until_minute:
        return local.weekday() in window.days and window.from_minute <= minute < window.until_minute
    if local.weekday() in window.days and minute >= window.from_minute:
        return True
    yesterday = (local.date() - timedelta(days=1)).weekday()
    return yesterday in window.days and minute < window.until_minute


@lru_cache(maxsize=_FIRINGS_KEPT)
def _opened_at(window: CronWindow, zone: ZoneInfo, minute: int) -> float | None:
    """When it opened last, at or before this minute (minutes since 1970)."""
    try:
        cron = read_cron(window.cron)
    except CronError:
        # the fleet file's reader refuses it; in a fleet built in code such a window never opens
        return None
    return last_firing(cron, zone, float(minute * _MINUTE_S), window.for_s)


class Override(msgspec.Struct, frozen=True, gc=False):
    """One pool's bounds now, the intents about it, and what its annotations ask: `halts` are KEDA's
    pauses, `forced` its forced activation. `blind` is its tier's policy for blindness.
    """

    bounds: ScheduledBounds
    pin: Intent | None = None
    pause: Intent | None = None
    freeze: Intent | None = None
    cap: Intent | None = None
    no_growth: Intent | None = None
    halts: tuple[Halt, ...] = ()
    forced: bool = False
    blind: BlindPolicy | None = None


class Tolerance(NamedTuple):
    """How far from 1 a ratio may be without a change, both ends included."""

    down: float = 0.1
    up: float = 0.1

    def holds(self, ratio: float) -> bool:
        """Whether the ratio is close enough to 1."""
        return 1.0 - self.down <= ratio <= 1.0 + self.up


class PoolTerms(msgspec.Struct, frozen=True, gc=False):
    """One pool's part of the fleet file, resolved.

    - `override`: what is in force without schedules, intents and annotations: the pool's own bounds
      and its tier's policy for blindness. `zone`: its tenant's clock.
    - `has_metrics`: its size depends on more than its queue and rule native. `specs`: its metrics;
      for rule hpa without any, its queue. `formula`: of its modifiers, None where it has none.
    - `needs_past`: rule native or its spares use what was learned about the pool. `costs`: those of
      rule native. `turn_s`: when it is the pool's turn within the interval at which the rule
      learns.
    - `learned_behavior`: its windows and policies once rule native uses what it has learned.
    - `configured_spares`: spares that the fleet file names by number.
    - `standby_share`: where others stand by for it, the part of one's time that it may take.
    """

    pool: Pool
    override: Override
    zone: ZoneInfo
    has_metrics: bool
    specs: tuple[MetricSpec, ...]
    formula: Formula | FormulaError | None
    tolerance: Tolerance
    needs_past: bool
    costs: NativeCosts
    turn_s: float
    learned_behavior: Behavior
    configured_spares: int
    standby_share: float | None = None


class PoolInput(msgspec.Struct, frozen=True, gc=False):
    """A pool whose Deployment is known: its observation, and the limits and overrides in force.

    `current` are the replicas that its spec asks for now. `memory` includes the outcome of the last
    requested write. `planned_at` is the time of the previous plan: a state that has ended since
    then counts as true until then. `others`: the memories of all pools, for one whose replicas
    stand by.
    """

    terms: PoolTerms
    seen: PoolObservation
    workload: Workload
    current: int
    memory: PoolMemory
    override: Override
    planned_at: float
    others: Mapping[PoolKey, PoolMemory] | None = None

    @property
    def status_replicas(self) -> int:
        """The replicas in its status, those of a rollout's surge included."""
        return max(self.workload.current, 0)


class Overrides:
    """What operators asked for, looked up by pool. An intent that has ended holds nothing."""

    def __init__(self, intents: Intents) -> None:
        self._found: dict[IntentKey, list[tuple[int, Intent]]] = {}
        for number, intent in enumerate(intents):
            scope = intent.scope
            place = Scope(pool=scope.pool) if scope.pool is not None else Scope(tenant=scope.tenant)
            if intent.kind is not IntentKind.BUDGET:
                self._found.setdefault(IntentKey(intent.kind, place), []).append((number, intent))

    def of(self, terms: PoolTerms, workload: Workload, moment: Moment) -> Override:
        """What holds for this pool now, whose Deployment this is."""
        pool, annotations = terms.pool, workload.annotations
        is_annotated = bool(annotations) or workload.namespace_freeze is not None
        if not (self._found or pool.schedules or is_annotated):
            return terms.override
        bounds = terms.override.bounds
        if pool.schedules:
            bounds = bounds_now(pool.min, pool.max, pool.schedules, terms.zone, moment)
        freeze = next(self._in_force(IntentKind.FREEZE, pool, moment), None)
        if freeze is None and is_annotated:
            freeze = read_freeze(workload, pool.key)
        *_, pin = (None, *self._in_force(IntentKind.PIN, pool, moment))  # of several, the last
        *_, cap = (None, *self._in_force(IntentKind.CAP, pool, moment))
        return Override(
            bounds=bounds,
            pin=pin,
            pause=next(self._in_force(IntentKind.PAUSE, pool, moment), None),
            freeze=freeze,
            cap=cap,
            no_growth=next(self._in_force(IntentKind.NO_GROWTH, pool, moment), None),
            halts=read_halts(annotations) if annotations else (),
            forced=bool(annotations) and is_on(annotations, FORCE_ACTIVATION),
            blind=terms.override.blind,
        )

    def _in_force(self, kind: IntentKind, pool: Pool, moment: Moment) -> Iterator[Intent]:
        """The pool's own, its tenant's and the fleet's intents of this kind, in their order."""
        places = (Scope(pool=pool.key), Scope(tenant=pool.tenant), Scope())
        found = [each for place in places for each in self._found.get(IntentKey(kind, place), ())]
        for _, intent in sorted(found, key=itemgetter(0)):
            if intent.until is None or not moment.reached(intent.until):
                yield intent


def concerns(scope: Scope, pool: Pool) -> bool:
    """Whether an intent with this scope is about this pool."""
    if scope.pool is not None:
        return scope.pool == pool.key
    return scope.tenant is None or scope.tenant == pool.tenant
