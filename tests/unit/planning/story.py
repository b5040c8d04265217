"""One pool in virtual time: the test says what is observed, the planner decides, and the size that
it decides is observed next.
"""

from __future__ import annotations

import re
from math import isfinite
from typing import Any, Final

import msgspec
from msgspec.structs import replace

from controller.model.decision import Code, Decision
from controller.model.fleet import (
    Behavior,
    Fleet,
    PolicyType,
    Pool,
    ScalingPolicy,
    ScalingRules,
    SelectPolicy,
)
from controller.model.ids import pool_key
from controller.model.intents import Intents
from controller.model.memory import Memory, PoolMemory, RecommendationRun
from controller.model.observation import (
    MetricValue,
    Observation,
    Pod,
    PodPhase,
    Pods,
    PoolObservation,
    QueueDepth,
    Series,
    Workload,
)
from controller.model.readings import Absent, Fresh, Reading, Why
from controller.planning.compile import FleetTerms, compile_fleet
from controller.planning.inputs import (
    FORCE_ACTIVATION,
    FREEZE,
    PAUSED,
    PAUSED_REPLICAS,
    PAUSED_SCALE_IN,
    PAUSED_SCALE_OUT,
)
from controller.planning.memo import Kept
from controller.planning.memory import LARGEST_STEP_S
from controller.planning.planner import plan

START = 1_700_000_000.0
LONG_AGO: Final = START - 9_000
OBSERVED_FOR_LONG: Final = PoolMemory(
    since=LONG_AGO,
    last_active_at=LONG_AGO,
    recommendations=(RecommendationRun(replicas=0, first_at=LONG_AGO, last_at=LONG_AGO),),
)
ANNOTATIONS: Final = {
    "active": FORCE_ACTIVATION,
    "freeze": FREEZE,
    "paused": PAUSED,
    "replicas": PAUSED_REPLICAS,
    "scale-in": PAUSED_SCALE_IN,
    "scale-out": PAUSED_SCALE_OUT,
}
COMPARED_PLANS = 700
"""Longer than the default windows take; a whole hour would double the time of these tests."""


def behavior(
    *,
    up_window_s: int = 0,
    down_window_s: int = 300,
    up: tuple[ScalingPolicy, ...] = (),
    down: tuple[ScalingPolicy, ...] = (),
    select_down: SelectPolicy = SelectPolicy.MAX,
) -> Behavior:
    return Behavior(
        scale_up=ScalingRules(stabilization_window_s=up_window_s, policies=up),
        scale_down=ScalingRules(
            stabilization_window_s=down_window_s, policies=down, select_policy=select_down
        ),
    )


def pods(value: int, period_s: int) -> ScalingPolicy:
    return ScalingPolicy(type=PolicyType.PODS, value=value, period_s=period_s)


def percent(value: int, period_s: int) -> ScalingPolicy:
    return ScalingPolicy(type=PolicyType.PERCENT, value=value, period_s=period_s)


def make_pool(name: str = "research", **fields: object) -> Pool:
    given: dict[str, object] = {"max": 20, "behavior": behavior(), **fields}
    return Pool(
        key=pool_key("acme", name),
        name=name,
        tenant="acme",
        namespace="tenant-acme",
        deployment=name,
        stream="TASKS",
        consumer=f"acme-{name}",
        **given,  # type: ignore[arg-type]  # a test's own fields of Pool
    )


def codes(decision: Decision) -> list[Code]:
    return [reason.code for reason in decision.reasons]


class Story:
    """A pool's history, tick by tick: each decided size is seen at the next tick.

    While `ignores_writes` no write takes effect. Beside each of the first plans a second planner
    keeps what it has worked out; it must decide and remember the same.
    """

    def __init__(
        self, pool: Pool, replicas: int = 0, intents: Intents | None = None, **fleet: object
    ) -> None:
        self.pool, self.replicas = pool, replicas
        self.now = START
        self.memory = Memory()
        self.decision: Decision | None = None
        self.ignores_writes = False
        self.intents = intents or Intents()
        self._fleet = fleet
        self._terms: FleetTerms | None = None
        self._keeping = KeepingPlanner()
        self._compared = 0

    @property
    def remembered(self) -> PoolMemory:
        return self.memory.pools[self.pool.key]

    def wait(self, seconds: float) -> Story:
        self.now += seconds
        return self

    def forget(self) -> None:
        """The memory is lost, as after a crash without NATS."""
        self.memory = Memory()

    def restart(self) -> None:
        """Another process reads the memory from the store."""
        self.memory = msgspec.json.decode(msgspec.json.encode(self.memory), type=Memory)

    def tick(
        self,
        pending: int | None = 0,
        in_flight: int = 0,
        *,
        queue: Reading[QueueDepth] | None = None,
        workload: Reading[Workload] | None = None,
        clock_step_s: float = 0.0,
        after_s: float = 1.0,
        paused: bool = False,
        pods: Reading[Pods] | None = None,
        annotations: dict[str, str] | None = None,
        metrics: dict[str, Reading[MetricValue]] | None = None,
        **seen: Any,
    ) -> Decision:
        """One plan of what is observed now; the queue is not known where `pending` is None. Its
        size is set, and then time passes. The clock itself makes the step that is observed, unless
        no clock can. What else is `seen` are metrics and fields of the pool's observation.
        """
        self.now += clock_step_s if abs(clock_step_s) < LARGEST_STEP_S else 0.0
        if queue is None:
            queue = silence(at=self.now)
            if pending is not None:
                depth = QueueDepth(pending=pending, in_flight=in_flight, paused=paused)
                queue = Fresh(value=depth, at=self.now)
        size, fields = self.replicas, PoolObservation.__struct_fields__
        asked = Workload(replicas=size, current=size, annotations=annotations or {})
        observed = PoolObservation(
            queue=queue,
            workload=workload or Fresh(value=asked, at=self.now),
            pods=pods or Fresh(value=Pods(ready=size), at=self.now),
            metrics={**(metrics or {}), **{k: each for k, each in seen.items() if k not in fields}},
            **{name: each for name, each in seen.items() if name in fields},
        )
        observation = Observation(pools={self.pool.key: observed}, clock_step_s=clock_step_s)
        decision = self.decide(observation, Fleet(pools=(self.pool,), **self._fleet))  # type: ignore[arg-type]
        if decision.changes and not self.ignores_writes and decision.next is not None:
            self.replicas = decision.next
        self.now += after_s
        return decision

    def decide(self, observation: Observation, fleet: Fleet) -> Decision:
        """The decision of the pool in this fleet, now."""
        before = self.memory
        if self._terms is None or fleet != self._terms.fleet:
            self._terms = compile_fleet(fleet)
        planned = plan(observation, self._terms, self.intents, before, self.now)
        result, self.memory = planned.plan, planned.memory
        if self._compared < COMPARED_PLANS:
            self._compared += 1
            kept = self._keeping.plan(observation, self._terms, self.intents, before, self.now)
            assert kept == (result.decisions, self.memory), "a planner that keeps decides otherwise"
        decision = self.decision = result.decisions[self.pool.key]
        return decision

    def ticks(self, seconds: int, pending: int = 0, in_flight: int = 0) -> list[int]:
        """A tick a second with the same work; the sizes of the pool after each."""
        sizes = []
        for _ in range(seconds):
            self.tick(pending, in_flight)
            sizes.append(self.replicas)
        return sizes

    def warmed_up(self, pending: int = 0, in_flight: int = 0) -> Story:
        """The same pool after it has been observed for a window with this work."""
        self.ticks(self.pool.behavior.scale_down.stabilization_window_s + 1, pending, in_flight)
        return self

    def watched_for_long(self) -> Story:
        """The same pool after it was observed without work and replicas for hours."""
        self.memory = Memory(pools={self.pool.key: OBSERVED_FOR_LONG})
        return self

    def tell(self, table: str) -> Story:
        """Play a table of ticks, see `Told`."""
        for line in table.strip().splitlines():
            told = Told(line)
            for number in range(told.times):
                decision = told.play(self, first=number == 0)
                assert not (faults := told.faults(decision)), f"{line.strip()}: {faults} {decision}"
        return self


class Told:
    """A line of a table: `[TIMES*] SEEN [HAPPENS…] : NEXT [(TARGET, RECOMMENDED)] [WORD…]`.

    SEEN is `pending`, `pending+in_flight` or `?`. What HAPPENS before the first of these ticks:
    `size=3` (set by another writer), `wait=60`, `restart`, `forget`, `fails` and `works` (writes);
    what is seen in each: `after=5` (seconds to the next), `woken=-1` (seconds from now),
    `step=3600` (of the clock), `pods=?`, `workload=?`, `generation=4`, `autoscaler=x`, `by=argocd`,
    `delivered=7`, `sequence=7`, `redelivered=2`, `stuck=1`, `paused` (the consumer), annotations
    (`@paused=true`), and any other name is a metric (`lag=30`, `lag=?`).

    NEXT is `_` where any size will do. A WORD is the bound, the gate or the code of a reason, and
    `!word` is not; `[a b]` are all codes in order; `until=90` is a number of the last reason, times
    in seconds from START.
    """

    def __init__(self, line: str) -> None:
        seen, _, expected = line.partition(" : ")
        words = seen.split()
        self.times = int(words.pop(0)[:-1]) if words[0].endswith("*") else 1
        self._work, self._happens = words[0], [each.partition("=")[::2] for each in words[1:]]
        self._next, *rest = expected.split()
        text = " ".join(rest)
        exact, goal = re.search(r"\[(.*)\]", text), re.search(r"\((.*?)\)", text)
        self._codes = None if exact is None else exact[1].split()
        self._goal = () if goal is None else tuple(goal[1].split(", "))
        self._words = re.sub(r"\[.*\]|\(.*?\)", "", text).split()

    def play(self, story: Story, *, first: bool) -> Decision:
        workload: dict[str, Any] = {}
        depth: dict[str, Any] = {}
        given: dict[str, Any] = {"annotations": {}}
        for name, text in self._happens:
            if name in {"size", "wait", "restart", "forget", "fails", "works"}:
                if first:
                    _happen(story, name, text)
            elif name in {"delivered", "sequence", "redelivered"}:
                depth[name] = int(text)
            elif name in {"pods", "workload"}:
                given[name] = silence(Why.VIEW_INCOMPLETE, at=story.now)
            elif name in {"autoscaler", "generation", "by"}:
                workload["sized_by" if name == "by" else name] = (
                    int(text) if name == "generation" else text
                )
            elif name == "paused":
                given["paused"] = True
            elif name.startswith("@"):
                given["annotations"][ANNOTATIONS.get(name[1:], name)] = text
            elif name == "stuck":
                stuck = Pod(name="x", phase=PodPhase.CRASHING, reason="CrashLoopBackOff")
                given["pods"] = Fresh(value=Pods(items=(stuck,) * int(text)), at=story.now)
            elif name in {"after", "step", "woken"}:
                at = float(text)
                key = {"after": "after_s", "step": "clock_step_s", "woken": "woken_at"}[name]
                given[key] = story.now + at if name == "woken" else at
            else:
                given[name] = SILENT if text == "?" else series(*map(float, text.split("+")))
        if workload:
            asked = Workload(replicas=story.replicas, current=story.replicas, **workload)
            asked = replace(asked, annotations=given.pop("annotations"))
            given["workload"] = Fresh(value=asked, at=story.now)
        if self._work == "?":
            return story.tick(None, **given)
        pending, _, in_flight = self._work.partition("+")
        if depth:
            known = QueueDepth(pending=int(pending), in_flight=int(in_flight or 0), **depth)
            return story.tick(queue=Fresh(value=known, at=story.now), **given)
        return story.tick(int(pending), int(in_flight or 0), **given)

    def faults(self, decision: Decision) -> list[str]:
        """What is not as the line says."""
        given = [each.code.value for each in decision.reasons]
        there = {*given, decision.bound.value, decision.gate and decision.gate.value}
        goal = (str(decision.target), str(decision.recommendation))
        found = [] if self._next in {str(decision.next), "_"} else [f"next {decision.next}"]
        found += [] if goal[: len(self._goal)] == self._goal else [f"target {goal}"]
        found += [] if self._codes in (None, given) else given
        for word in self._words:
            name, is_number, number = word.partition("=")
            if is_number:
                is_time = name in {"until", "since"}
                wanted = START + float(number) if is_time else _number(number)
                if decision.reasons[-1].numbers.get(name) != wanted:
                    found.append(f"{name}: {decision.reasons[-1].numbers.get(name)}")
            elif word.startswith("!") is (word.lstrip("!") in there):
                found.append(word)
        return found


def _number(text: str) -> float | str:
    try:
        return float(text)
    except ValueError:
        return text


def _happen(story: Story, name: str, text: str) -> None:
    match name:
        case "size":
            story.replicas = int(text)
        case "wait":
            story.wait(float(text))
        case "restart":
            story.restart()
        case "forget":
            story.forget()
        case _:
            story.ignores_writes = name == "fails"


class KeepingPlanner:
    """Plans from plan to plan as the engine does: it hands on what was kept, and a pool of which
    nothing has changed but the times of its readings is the same object.
    """

    def __init__(self) -> None:
        self._kept: Kept | None = None
        self._memory: Memory | None = None
        self._seen: dict[str, PoolObservation] = {}

    def plan(
        self,
        observation: Observation,
        terms: FleetTerms,
        intents: Intents,
        memory: Memory,
        now: float,
    ) -> tuple[dict[str, Decision], Memory]:
        """The decisions and the memory after them."""
        if memory == self._memory:
            memory = self._memory  # the same objects, as the engine hands them on
        pools = {key: self._known(key, seen) for key, seen in observation.pools.items()}
        planned = plan(replace(observation, pools=pools), terms, intents, memory, now, self._kept)
        self._kept, self._memory = planned.kept, planned.memory
        return planned.plan.decisions, planned.memory

    def _known(self, key: str, seen: PoolObservation) -> PoolObservation:
        before = self._seen.get(key)
        if before is not None and _without_times(before) == _without_times(seen):
            return before
        self._seen[key] = seen
        return seen


def _without_times(seen: PoolObservation) -> PoolObservation:
    """The same, with no time at which something was read successfully."""
    fresh = {
        name: replace(reading, at=0.0)
        for name, reading in (
            ("queue", seen.queue),
            ("workload", seen.workload),
            ("pods", seen.pods),
        )
        if isinstance(reading, Fresh) and isfinite(reading.at)
    }
    return replace(seen, **fresh)


def silence(why: Why = Why.TIMED_OUT, at: float = START) -> Absent:
    return Absent(why=why, at=at)


SILENT: Final = silence(at=START - 60)


def series(*values: float) -> Fresh[MetricValue]:
    return Fresh(value=Series(values_milli=tuple(int(1000 * one) for one in values)), at=START)
