"""Several policies on the same trace: all within the same bounds, in the same virtual cluster."""

from __future__ import annotations

import sys
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from enum import StrEnum
from multiprocessing import get_context
from typing import Final, NamedTuple

from controller.model.fleet import Pool
from controller.simulate.planned import PlannerPolicy
from controller.simulate.policies import (
    DEFAULT_SETTINGS,
    TUNED_SETTINGS,
    HpaKeda,
    HpaKedaSettings,
    Reactive,
    Static,
)
from controller.simulate.score import Score, least_replica_s, most_at_once, score
from controller.simulate.shared import of_pool, with_standbys
from controller.simulate.trace import Trace, TraceTask
from controller.simulate.world import Policy, PoolRun, World, run_pool


class Contender(StrEnum):
    """A policy that can be compared.

    - `agentdash`: the pool as the fleet file has it, through `plan()`.
    - `hpa+keda`: KEDA and the HPA with their defaults; `tuned`: polled every 2 s, no window on the
      way up, one spare replica for every four busy ones.
    - `reactive`: as many replicas as the messages fill, at every moment.
    - `static`: as many as keep every task from waiting.
    """

    AGENTDASH = "agentdash"
    HPA_KEDA = "hpa+keda"
    TUNED = "hpa+keda, tuned"
    REACTIVE = "reactive"
    STATIC = "static"


WITH_STANDBYS: Final = "with standbys"
"""agentdash beside the fleet file's standbys, whose replica-hours count."""


class PolicyRuns(NamedTuple):
    """What a policy did: each pool's run and score, and the score of all. The runs of those that
    stand by are among `runs`.
    """

    name: str
    runs: dict[str, PoolRun]
    pools: dict[str, Score]
    total: Score


class Comparison(NamedTuple):
    """All policies' outcomes; `bounds_h`: each pool's clairvoyant replica-hours."""

    trace: Trace
    world: World
    outcomes: tuple[PolicyRuns, ...]
    bounds_h: dict[str, float]

    @property
    def bound_h(self) -> float:
        """The clairvoyant replica-hours of all pools."""
        return sum(self.bounds_h.values())


class Job(NamedTuple):
    """One pool under one policy; a job can be done in another process."""

    name: str
    contender: Contender
    pool: Pool
    world: World


Progress = Callable[[int, int], None]
"""Told how many tasks of how many are done."""


def compare(
    trace: Trace,
    pools: Mapping[str, Pool],
    world: World,
    contenders: tuple[Contender, ...] = tuple(Contender),
    *,
    standbys: Sequence[Pool] = (),
    cores: int = 1,
    progress: Progress | None = None,
) -> Comparison:
    """Run the trace under each policy. `pools` has the settings for each pool of the trace; each
    pool is alone in its cluster: nothing is shared but the trace, and `standbys` in one run more.

    Raises BrokenProcessPool if one of the processes is killed.
    """
    jobs = [
        Job(name, contender, pools[name], of_pool(world, pools[name]))
        for contender in contenders
        for name in trace.pools
    ]
    runs: dict[Contender, dict[str, PoolRun]] = {each: {} for each in contenders}
    done, of = 0, trace.tasks * len(contenders)
    for job, lived in run_jobs(jobs, trace, cores):
        runs[job.contender][job.name] = lived
        done += len(trace.pools[job.name])
        if progress is not None:
            progress(done, of)
    outcomes = [_outcome(each.value, runs[each], trace) for each in contenders]
    if standbys:
        shared = with_standbys(trace, pools, standbys, runs[Contender.AGENTDASH], world)
        outcomes.insert(1, _outcome(WITH_STANDBYS, shared, trace))
    return Comparison(
        trace=trace,
        world=world,
        outcomes=tuple(outcomes),
        bounds_h={
            name: least_replica_s(tasks, of_pool(world, pools[name])) / 3600
            for name, tasks in trace.pools.items()
        },
    )


def run_jobs(jobs: list[Job], trace: Trace, cores: int) -> Iterator[tuple[Job, PoolRun]]:
    """The runs of these jobs, as they are done; in a process for each core."""
    if cores == 1:
        yield from ((job, _live(job, trace.pools[job.name], trace.end_s)) for job in jobs)
        return

    def takes(job: Job) -> tuple[bool, int]:
        return job.contender is Contender.AGENTDASH, len(trace.pools[job.name])

    # the longest first, so that no long one is left for the end
    ordered = sorted(jobs, key=takes, reverse=True)
    with ProcessPoolExecutor(cores, mp_context=get_context(_start_method())) as executor:
        running = {
            executor.submit(_live, job, trace.pools[job.name], trace.end_s): job for job in ordered
        }
        try:
            for future in as_completed(running):
                yield running[future], future.result()
        finally:
            executor.shutdown(cancel_futures=True)


def _outcome(name: str, runs: dict[str, PoolRun], trace: Trace) -> PolicyRuns:
    ordered = {pool: runs[pool] for pool in trace.pools} | runs  # sums do not hang on who was first
    pools = {pool: score([ordered[pool]]) for pool in trace.pools}
    return PolicyRuns(name, ordered, pools, score(ordered.values()))


def _live(job: Job, tasks: list[TraceTask], end_s: float) -> PoolRun:
    return run_pool(tasks, _policy(job, tasks), job.world, end_s)


def _policy(job: Job, tasks: list[TraceTask]) -> Policy:
    """The policy, within the pool's bounds."""
    pool = job.pool
    match job.contender:
        case Contender.AGENTDASH:
            return PlannerPolicy(pool)
        case Contender.HPA_KEDA:
            target = 1000 * pool.target // pool.slots
            return HpaKeda(_bounded(DEFAULT_SETTINGS._replace(target_milli=target), pool))
        case Contender.TUNED:
            return HpaKeda(_bounded(TUNED_SETTINGS, pool))
        case Contender.REACTIVE:
            return Reactive(pool.min, pool.max)
        case Contender.STATIC:
            return Static(min(max(-(-most_at_once(tasks) // pool.slots), pool.min), pool.max))


def _bounded(settings: HpaKedaSettings, pool: Pool) -> HpaKedaSettings:
    return settings._replace(minimum=pool.min, maximum=pool.max)


def _start_method() -> str:
    """`fork` is fast, but with other threads running the child may hang on a lock that one held."""
    return "fork" if sys.platform == "linux" and threading.active_count() == 1 else "spawn"
