"""Searches settings of a pool: which of them are the cheapest for how much waiting."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import product
from typing import Final, NamedTuple

from msgspec.structs import replace

from controller.model.fleet import NativePreset, Pool, Rule
from controller.simulate.compare import Contender, Job, Progress, run_jobs
from controller.simulate.score import Score, score
from controller.simulate.shared import of_pool
from controller.simulate.trace import Trace
from controller.simulate.world import World

COOLDOWNS_S: Final = (0.0, 60.0, 300.0, 900.0)
LEASTS: Final = (0, 1, 2)


class Trial(NamedTuple):
    """One setting, and what it led to."""

    pool: Pool
    score: Score

    @property
    def costs(self) -> tuple[float, float]:
        """What it costs and how long tasks wait; less of each is better."""
        return self.score.replica_hours, self.score.wait_mean_s


def search(
    trace: Trace, pool: Pool, world: World, *, cores: int, progress: Progress
) -> list[Trial]:
    """Try the settings of a pool on a trace of one pool, the cheapest first."""
    (name,) = trace.pools
    jobs = [
        Job(name, Contender.AGENTDASH, each, of_pool(world, each)) for each in settings_of(pool)
    ]
    tried = []
    for done, (job, lived) in enumerate(run_jobs(jobs, trace, cores), start=1):
        tried.append(Trial(job.pool, score([lived])))
        progress(done * trace.tasks, len(jobs) * trace.tasks)
    return sorted(tried, key=lambda each: each.costs)


def settings_of(pool: Pool) -> Iterator[Pool]:
    """The pool as it is, then with each of the settings that are tried."""
    yield pool
    for preset, cooldown_s, least in product(NativePreset, COOLDOWNS_S, LEASTS):
        tried = replace(
            pool,
            rule=Rule.NATIVE,
            native=preset,
            cooldown_s=cooldown_s,
            min=least,
            idle=None,
            metrics=(),
            window_given=False,
        )
        if least <= pool.max and tried != pool:
            yield tried


def frontier(tried: Iterable[Trial]) -> list[Trial]:
    """Those that none beats in cost and wait, cheapest first, without unfinished tasks."""
    best: list[Trial] = []
    served = [each for each in tried if not each.score.unserved]
    for each in sorted(served, key=lambda each: each.costs):
        if not best or each.score.wait_mean_s < best[-1].score.wait_mean_s:
            best.append(each)
    return best


def settings_to_copy(pool: Pool) -> str:
    """The settings as keys of the fleet file's pool, on one line."""
    if not isinstance(pool.native, NativePreset) or pool.rule is not Rule.NATIVE:
        return "as the fleet file has it"
    return (
        f"native: {{setting: {pool.native.value}}}, cooldown: {pool.cooldown_s:g}s, "
        f"replicas: {{min: {pool.min}, max: {pool.max}}}"
    )
