"""The demo's load: for each pool steady tasks, bursts and idle times, repeated every minute."""

from __future__ import annotations

import asyncio
import logging
import random
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import dataclass
from typing import Final

log = logging.getLogger(__name__)

CYCLE_S: Final = 60.0


@dataclass(frozen=True, kw_only=True)
class PoolLoad:
    """The tasks of one pool.

    `steady_per_s` tasks a second come at random; `bursts` are (second of the cycle, tasks at once);
    between the two seconds of `idle` nothing comes. `service_s` is the mean time of a task.
    `high_share` of the tasks, 0 to 1, have a high priority: then there is a queue for them.
    """

    tenant: str
    name: str
    service_s: float
    steady_per_s: float = 0.0
    bursts: tuple[tuple[float, int], ...] = ()
    idle: tuple[float, float] = (CYCLE_S, CYCLE_S)
    high_share: float = 0.0

    @property
    def consumer(self) -> str:
        """The durable consumer on the stream, of tasks with the normal priority."""
        return f"{self.tenant}-{self.name}"

    @property
    def subjects(self) -> dict[str, str]:
        """The subject of each of the pool's consumers, the highest priority first."""
        subject = f"tasks.{self.tenant}.{self.name}"
        high = {f"{self.consumer}-high": f"{subject}-high"} if self.high_share else {}
        return {**high, self.consumer: subject}

    def arrivals(self, seed: int, cycle: int) -> list[float]:
        """The seconds of one cycle at which a task comes, sorted."""
        rng = random.Random(f"{seed} {cycle} {self.consumer}")
        times = [at for at, count in self.bursts for _ in range(count)]
        times.extend(self._steady_arrivals(rng))
        return sorted(at for at in times if not self.idle[0] <= at < self.idle[1])

    def _steady_arrivals(self, rng: random.Random) -> Iterator[float]:
        if self.steady_per_s <= 0:
            return
        at = rng.expovariate(self.steady_per_s)
        while at < CYCLE_S:
            yield at
            at += rng.expovariate(self.steady_per_s)


LOADS: Final = (
    PoolLoad(
        tenant="acme",
        name="research",
        service_s=6.0,
        steady_per_s=0.15,
        bursts=((8.0, 20),),
        idle=(40.0, 55.0),
        high_share=0.25,
    ),
    PoolLoad(tenant="acme", name="support", service_s=4.0, steady_per_s=0.6, idle=(45.0, 52.0)),
    PoolLoad(tenant="globex", name="browser", service_s=5.0, bursts=((5.0, 1), (30.0, 6))),
    PoolLoad(tenant="globex", name="etl", service_s=4.0, bursts=((15.0, 10),)),
    PoolLoad(
        tenant="initech", name="triage", service_s=3.0, bursts=((3.0, 1), (25.0, 1), (45.0, 2))
    ),
    PoolLoad(tenant="initech", name="review", service_s=4.0, bursts=((6.0, 12),)),
    PoolLoad(tenant="initech", name="digest", service_s=2.0, bursts=((10.0, 2), (20.0, 2))),
)

Publish = Callable[[PoolLoad], Awaitable[None]]


async def run_load(
    loads: tuple[PoolLoad, ...], publish: Publish, *, seed: int, for_s: float | None = None
) -> None:
    """Publish each task at its time, for `for_s` seconds or until cancelled."""
    try:
        async with asyncio.timeout(for_s):
            async with asyncio.TaskGroup() as tasks:
                for load in loads:
                    tasks.create_task(_run_pool(load, publish, seed))
    except TimeoutError:
        log.info("the load has ended", extra={"after_s": for_s})


async def _run_pool(load: PoolLoad, publish: Publish, seed: int) -> None:
    loop = asyncio.get_running_loop()
    began, cycle = loop.time(), 0
    while True:
        for at in load.arrivals(seed, cycle):
            await asyncio.sleep(began + cycle * CYCLE_S + at - loop.time())
            await publish(load)
        cycle += 1
        await asyncio.sleep(began + cycle * CYCLE_S - loop.time())
