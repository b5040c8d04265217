"""The rules of the engine that keep it safe under faults. A simulated history of the seed named
here breaks a promise without the rule; `python -m simulation.engine.planted` finds such seeds anew.
"""

from __future__ import annotations

from typing import Final, NamedTuple

from support.mutation import Mutant


class Planted(NamedTuple):
    """A rule, how to remove it, and a seed that then breaks a promise."""

    rule: str
    place: str
    text: str
    without: str
    seed: int


PLANTED: Final = (
    Planted(
        "a lease is taken only when its record has not changed for its duration",
        "engine/elector.py",
        "self._free_at = self._right.steady() + duration_s",
        "self._free_at = self._right.steady()",
        0,
    ),
    Planted(
        "a queue that gives no answer in time has no fresh reading",
        "engine/observe.py",
        "return Stale(value=value, at=self._asked_at.get(pool, known.at), why=why, detail=detail)",
        "return Fresh(value=value, at=self._clock.now())",
        0,
    ),
    Planted(
        "a failed reading replaces the one before",
        "engine/observe.py",
        "            self._depths[pool.key] = same_reading(known, reading)",
        "            if isinstance(reading, Fresh) or pool.key not in self._depths:\n"
        "                self._depths[pool.key] = reading",
        0,
    ),
    Planted(
        "a process that cannot read the previous leader's memory leads with its own",
        "engine/loop.py",
        "        self._memory = self._memory if memory is None else self._doubted(memory)\n",
        "        if memory is None:\n            return\n        self._memory = memory\n",
        0,
    ),
    Planted(
        "a pod is drained when its worker has obeyed the newest orders",
        "planning/step/crew.py",
        "return state.obeyed == revision and not state.pulling and state.busy == 0",
        "return state.busy == 0",
        365,
    ),
    Planted(
        "replicas are lowered when the pods that go are marked",
        "planning/step/drain.py",
        "marks = [pod.marked_at for pod in crew.pods if pod.name in gone and is_first(pod)]",
        "marks = [pod.marked_at for pod in crew.pods if pod.name in gone]",
        3,
    ),
    Planted(
        "who writes has the right to write",
        "engine/write_right.py",
        "return self.steady() < self._until",
        "return True",
        0,
    ),
    Planted(
        "a lease that another process holds is not taken",
        "engine/elector.py",
        "        if self._right.steady() < self._free_at:\n"
        "            self._lost()\n"
        "            return\n",
        "",
        0,
    ),
    Planted(
        "a failed write is tried again after a limited time",
        "engine/write_backoff.py",
        "self._until[pool] = now + max(backoff.next_s(), outcome.retry_after_s or 0.0)",
        "self._until[pool] = now + 3600.0 * backoff.next_s()",
        1,
    ),
    Planted(
        "a pool whose pods are not all known is not written",
        "planning/gate/gate.py",
        "        or _pods_unknown(given, limits, target)\n",
        "",
        62,
    ),
    Planted(
        "a frozen pool keeps its size",
        "planning/gate/gate.py",
        "        _frozen(given)\n        or _scaled",
        "        _scaled",
        255,
    ),
    Planted(
        "the right to write ends with time alone",
        "engine/write_right.py",
        "return self.steady() < self._until",
        "return self._until > -math.inf",
        1,
    ),
    Planted(
        "a pool that is being written is not decided again",
        "engine/observe.py",
        "under_way=dict(under_way),",
        "under_way={},",
        8,
    ),
    Planted(
        "a write that was applied is not sent again",
        "engine/loop.py",
        "            self._to_write.pop(write.decision.pool, None)\n        self._early",
        "            pass\n        self._early",
        0,
    ),
    Planted(
        "the times in memory follow a step of the clock",
        "planning/planner.py",
        "    memory = follow_clock(memory, observation.clock_step_s)\n",
        "",
        81,
    ),
    Planted(
        "the times in a saved memory are moved to the clock of the process that reads it",
        "planning/remember/clock.py",
        "return follow_clock(saved.memory, behind_s) if abs(behind_s) > STEP_S else saved.memory",
        "return saved.memory",
        367,
    ),
    Planted(
        "a right that lapsed while the memory was read is led by when it is renewed",
        "engine/loop.py",
        "        if self._lead.lacks_memory() and self._taking_over is None:",
        "        if False:",
        7720,
    ),
    Planted(
        "while a smaller size may still be set, those who would go are not called back",
        "planning/step/drain.py",
        "    if has_seen and not may_shrink_late(given.memory, workload):",
        "    if has_seen:",
        6154,
    ),
    Planted(
        "the times at which pods were marked follow a step of the clock",
        "engine/observe.py",
        "        self._workloads.shift(seconds)\n",
        "",
        1119,
    ),
)

ENGINE_RULES: Final = tuple(
    Mutant(
        each.rule,
        each.place,
        each.text,
        each.without,
        (f"test_this_seed_keeps_all_promises({each.seed})",),
    )
    for each in PLANTED
)
