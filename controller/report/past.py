"""Reports over a journal: what pools use, can do and cost, and how other autoscalers differ."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping
from enum import StrEnum
from itertools import pairwise
from math import ceil
from typing import Final, NamedTuple, TypeAlias

from controller.config.schema.pools import PROFILES
from controller.model.decision import CEILINGS
from controller.model.ids import PoolKey
from controller.model.observation import PodUsages
from controller.model.readings import Fresh, last_known
from controller.model.scarcity import Resources
from controller.model.snapshot import PoolView, QueueRates, Snapshot, TenantView
from controller.model.text import listed

GAP_S: Final = 60.0
"""Time between two snapshots that are further apart is not known, and counts nowhere."""
DAY_S: Final = 86_400.0
CPU_ROOM, MEMORY_ROOM = 1.15, 1.25
"""A recommended profile has so much more than the p95 of CPU and the most memory that was seen."""
_MOST_SAMPLES: Final = 20_000
Cell: TypeAlias = str | float | None


class ReportKind(StrEnum):
    """What a report is about."""

    SIZING = "sizing"
    CAPACITY = "capacity"
    SPEND = "spend"
    COMPARE = "compare"


class JournalReport(NamedTuple):
    """A table with a row for each pool, and in words what of it is not known. None: not known."""

    title: str
    head: tuple[str, ...]
    rows: list[tuple[Cell, ...]]
    unknown: list[str]


class _PoolPast:
    """One pool, summed over time. Sums are in seconds × what they count."""

    def __init__(self, view: PoolView) -> None:
        self.view = view
        self.seen_s = self.current_s = self.ours_s = self.same_s = self.limited_s = 0.0
        self.above_s = self.below_s = 0.0
        self.tasks = self.most_per_minute = 0.0
        self.has_rates = False
        self.bounds: Counter[str] = Counter()
        self.used: dict[str, dict[tuple[str, float], int]] = {"cpu": {}, "memory": {}}
        self.apart: tuple[float, float, int, int] | None = None  # begin, end, theirs, ours
        self.longest: tuple[float, float, int, int] | None = None

    def add(self, view: PoolView, rates: Iterable[QueueRates], at: float, length_s: float) -> None:
        """What held from `at` for `length_s`."""
        self.view = view
        for each in rates:
            if each.completions_per_minute is not None:
                self.has_rates = True
                self.tasks += each.completions_per_minute * length_s / 60
                self.most_per_minute = max(self.most_per_minute, each.completions_per_minute)
        self._add_use(view)
        decision = view.decision
        ours = None if decision is None else decision.recommendation
        if decision is None or decision.current is None or ours is None:
            return
        self.seen_s += length_s
        self.current_s += decision.current * length_s
        self.ours_s += ours * length_s
        self._compare(decision.current, ours, at, length_s)
        if decision.bound in CEILINGS:
            self.bounds[decision.bound.value] += 1
            self.limited_s += length_s

    def _compare(self, theirs: int, ours: int, at: float, length_s: float) -> None:
        if theirs == ours:
            self.same_s += length_s
            self.apart = None
            return
        self.above_s += (ours > theirs) * length_s
        self.below_s += (ours < theirs) * length_s
        goes_on = self.apart is not None and at - self.apart[1] < GAP_S
        begin = self.apart[0] if self.apart is not None and goes_on else at
        self.apart = (begin, at + length_s, theirs, ours)
        longest = self.longest
        if longest is None or self.apart[1] - begin > longest[1] - longest[0]:
            self.longest = self.apart

    def _add_use(self, view: PoolView) -> None:
        """What each pod used, once for each time that the metrics API measured it."""
        for resource, samples in self.used.items():
            reading = view.observation.metrics.get(resource)
            if not isinstance(reading, Fresh) or not isinstance(reading.value, PodUsages):
                continue
            for pod in reading.value.items:
                known = [each for each in pod.containers.values() if each is not None]
                if known and len(samples) < _MOST_SAMPLES:
                    samples[pod.pod, pod.at] = sum(known)

    def used_at(self, resource: str, share: float) -> int | None:
        """The use that this share of the samples does not pass, in thousandths."""
        ranked = sorted(self.used[resource].values())
        return ranked[max(ceil(share * len(ranked)) - 1, 0)] if ranked else None

    @property
    def requests(self) -> Resources:
        """Of a replica: those of the fleet file, else those of its pod template."""
        workload = last_known(self.view.observation.workload)
        known = Resources() if workload is None else workload.requests
        return self.view.requests or known

    @property
    def seconds(self) -> float | None:
        """The seconds that a task takes, as measured; else by what was done while slots worked."""
        usage = self.view.observation.task_usage
        return None if usage is None else float(usage.seconds)


class JournalSums:
    """Snapshots, added up one by one in the order of their time."""

    def __init__(self) -> None:
        self._before: Snapshot | None = None
        self.begin = self.end = 0.0
        self.known_s = 0.0
        self.pools: dict[PoolKey, _PoolPast] = {}
        self.usd: defaultdict[tuple[str, str, str], float] = defaultdict(float)
        self.spenders: set[str] = set()
        self.unpriced: set[str] = set()
        self._sums: dict[tuple[str, str, str], float] = {}

    def add_all(self, snapshots: Iterable[Snapshot], since: float = 0.0) -> None:
        """Add those from `since` (Unix seconds) on."""
        for before, after in pairwise(snapshots):
            if before.at >= since:
                self._add(before, after.at - before.at)
                self._add_spent(after)

    def _add(self, snapshot: Snapshot, length_s: float) -> None:
        if not self.begin:
            self.begin = snapshot.at
            self._add_spent(snapshot)
        self.end = snapshot.at + max(length_s, 0.0)
        if not 0 < length_s <= GAP_S:
            return
        self.known_s += length_s
        rates: defaultdict[PoolKey, list[QueueRates]] = defaultdict(list)
        for each in snapshot.queues:
            rates[each.pool].append(each)
        for view in snapshot.pools:
            past = self.pools.setdefault(view.key, _PoolPast(view))
            past.add(view, rates[view.key], snapshot.at, length_s)

    def _add_spent(self, snapshot: Snapshot) -> None:
        """What sums of the day have grown by; a sum that has fallen began anew."""
        for tenant in snapshot.tenants:
            for key, usd in _spent_today(tenant):
                before = self._sums.get(key)
                if before is not None or self.begin != snapshot.at:
                    self.usd[key] += usd if before is None or usd < before else usd - before
                self._sums[key] = usd
            if tenant.by_model is not None:
                self.spenders.add(tenant.name)
                self.unpriced |= {
                    each.model or "(not named)"
                    for each in tenant.by_model.models
                    if each.usd is None and each.total
                }


def _spent_today(tenant: TenantView) -> Iterable[tuple[tuple[str, str, str], float]]:
    spent = tenant.by_model
    if spent is None:
        return
    yield (tenant.name, "", ""), spent.usd or 0.0
    for each in spent.models:
        if each.usd is not None:
            yield (tenant.name, "model", each.model), each.usd
    for pool, usd in spent.usd_by_pool.items():
        yield (tenant.name, "pool", pool), usd


def report(kind: ReportKind, past: JournalSums) -> JournalReport:
    """The report of this kind."""
    made = {
        ReportKind.SIZING: _sizing,
        ReportKind.CAPACITY: _capacity,
        ReportKind.SPEND: _spend,
        ReportKind.COMPARE: _compare,
    }[kind](past)
    about: dict[str, list[str]] = {}
    for each in made.unknown:
        subject, _, words = each.partition(": ")
        about.setdefault(words or subject, []).extend([subject] if words else [])
    found = [": ".join(filter(None, (listed(who), what))) for what, who in about.items()]
    made = made._replace(unknown=found)
    gap_s = past.end - past.begin - past.known_s
    if gap_s > GAP_S:
        words = (
            f"{gap_s / 3600:.1f} of {(past.end - past.begin) / 3600:.1f} hours have no snapshots"
        )
        made.unknown.insert(0, words)
    return made


def _pools(past: JournalSums) -> list[tuple[PoolKey, _PoolPast]]:
    return sorted(past.pools.items())


def _sizing(past: JournalSums) -> JournalReport:
    head = ("POOL", "CPU ASKED", "CPU P95", "MIB ASKED", "MIB MOST", "TASK S", "TASKS/REPLICA-H")
    rows: list[tuple[Cell, ...]] = []
    unknown = []
    for key, each in _pools(past):
        cpu, memory = each.used_at("cpu", 0.95), each.used_at("memory", 1.0)
        asked = each.requests
        hours = each.current_s / 3600
        profile = _profile(cpu, memory)
        rows.append(
            (
                key,
                _ratio(asked.cpu_milli, 1000),
                _ratio(cpu, 1000),
                _ratio(asked.memory_bytes, 2**20),
                _ratio(memory, 1000 * 2**20),
                each.seconds,
                each.tasks / hours if each.has_rates and hours else None,
                profile,
                *_saving(profile, asked, each.current_s / each.seen_s if each.seen_s else None),
            )
        )
        if cpu is None or memory is None:
            what = " and ".join(r for r in ("cpu", "memory") if each.used_at(r, 1.0) is None)
            unknown.append(
                f"{key}: {what} is not measured: the metrics API is read for pools that have a "
                f"Resource metric of it; without it no profile is recommended"
            )
    more = ("PROFILE", "SAVES CORES", "SAVES MIB")
    return JournalReport("Sizes of replicas", head + more, rows, unknown)


def _profile(cpu: int | None, memory: int | None) -> str | None:
    """The smallest profile that has room for what was used; None without one."""
    if cpu is None or memory is None:
        return None
    for name, each in PROFILES.items():
        has_cpu = (each.cpu_milli or 0) >= cpu * CPU_ROOM
        if has_cpu and (each.memory_bytes or 0) >= memory / 1000 * MEMORY_ROOM:
            return name
    return "larger than compute"


def _saving(
    profile: str | None, asked: Resources, replicas: float | None
) -> tuple[float | None, float | None]:
    """What the mean replicas would ask for less with the profile: cores, and MiB."""
    wanted = PROFILES.get(profile or "")
    if wanted is None or replicas is None:
        return None, None
    cpu, memory = wanted.cpu_milli or 0, wanted.memory_bytes or 0
    return (
        None if asked.cpu_milli is None else (asked.cpu_milli - cpu) / 1000 * replicas,
        None if asked.memory_bytes is None else (asked.memory_bytes - memory) / 2**20 * replicas,
    )


def _ratio(number: float | None, of: float) -> float | None:
    return None if number is None else number / of


def _capacity(past: JournalSums) -> JournalReport:
    head = ("POOL", "MAX", "SLOTS", "TASK S", "TASKS/S", "TASKS/DAY", "DONE/DAY", "MOST/MIN")
    rows: list[tuple[Cell, ...]] = []
    unknown = []
    for key, each in _pools(past):
        view, seconds, memory = each.view, each.seconds, each.used_at("memory", 1.0)
        per_s = view.max * view.slots / seconds if seconds else None
        asked = each.requests.memory_bytes
        bytes_used = asked if memory is None else memory // 1000
        limit = each.bounds.most_common(1)
        rows.append(
            (
                key,
                view.max,
                view.slots,
                seconds,
                per_s,
                _ratio(per_s, 1 / DAY_S),
                each.tasks / past.known_s * DAY_S if each.has_rates and past.known_s else None,
                each.most_per_minute if each.has_rates else None,
                _ratio(bytes_used, 2**20 * view.slots),
                limit[0][0] if limit else "nothing",
                100 * each.limited_s / each.seen_s if each.seen_s else None,
            )
        )
        if seconds is None:
            unknown.append(f"{key}: how long a task takes is not measured: no worker says it")
        if memory is None and asked is not None:
            unknown.append(f"{key}: memory is what replicas ask for; what they use is not measured")
    more = ("MIB/SLOT", "LIMITED BY", "% OF TIME")
    return JournalReport("What pools can do with all their replicas", head + more, rows, unknown)


def _spend(past: JournalSums) -> JournalReport:
    rows: list[tuple[Cell, ...]] = [
        (tenant, {"": "all"}.get(kind, kind), name or "-", usd)
        for (tenant, kind, name), usd in sorted(past.usd.items())
    ]
    unknown = [
        f"{each}: has no price, so its tokens are in no sum" for each in sorted(past.unpriced)
    ]
    if not past.spenders:
        unknown.append("no tenant has reported what its tasks used")
    return JournalReport(
        "USD by tenant, model and pool", ("TENANT", "BY", "NAME", "USD"), rows, unknown
    )


def _compare(past: JournalSums) -> JournalReport:
    head = ("POOL", "HOURS", "% SAME", "% MORE", "% LESS", "THEIR REPLICA-H", "OURS", "LONGEST MIN")
    rows: list[tuple[Cell, ...]] = []
    unknown = []
    for key, each in _pools(past):
        if not each.seen_s:
            unknown.append(f"{key}: was never seen whole, so it is not compared")
            continue
        shares = (each.same_s, each.above_s, each.below_s)
        begin, end, theirs, ours = each.longest or (0.0, 0.0, 0, 0)
        rows.append(
            (
                key,
                each.seen_s / 3600,
                *(100 * share / each.seen_s for share in shares),
                each.current_s / 3600,
                each.ours_s / 3600,
                (end - begin) / 60,
                begin or None,
                f"{theirs} → {ours}" if each.longest else "-",
            )
        )
    title = "Where agentdash would have sized a pool otherwise than it was"
    return JournalReport(title, (*head, "SINCE", "THEIRS → OURS"), rows, unknown)


def as_json(made: JournalReport) -> Mapping[str, object]:
    """The report as data: the rows by the names of their columns."""
    keys = [name.lower().translate(_PLAIN).strip("_") for name in made.head]
    rows = [dict(zip(keys, row, strict=True)) for row in made.rows]
    return {"version": 1, "title": made.title, "rows": rows, "unknown": made.unknown}


_PLAIN: Final = str.maketrans({" ": "_", "/": "_per_", "%": "percent", "-": "_", "→": "to"})
