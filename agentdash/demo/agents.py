"""The demo's pools: the tasks of each, in flows, bursts and idle times that are repeated every
minute; and its agents, which use tools for a while and then ask a model, and which are at work.
"""

from __future__ import annotations

import asyncio
import logging
import random
from collections import Counter
from collections.abc import Awaitable, Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from decimal import Decimal
from typing import Any, Final, NamedTuple

from openai import AsyncOpenAI, RateLimitError
from openai.types.chat import ChatCompletion

from agentdash.demo.provider import RIGHT, ProviderModel
from agentdash.worker import Agent, ModelTerms, ModelTier, Session, Task, UsedTokens

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


class DemoPod(NamedTuple):
    """A pod with a worker; `write` adds a line to its log."""

    name: str
    node: str
    write: Callable[[str], None]


class DemoCrew:
    """The workers that have a task at hand, and counts of those that were told to stop then.

    `reclaimed` stopped because their node was taken away, `ordered` of them while it still ran,
    which only the controller's orders tell them; `killed` for any other reason, that is because the
    pool was scaled down. `resumed` are tasks that went on from a checkpoint.
    """

    def __init__(self) -> None:
        self.reclaimed = self.ordered = self.killed = self.resumed = 0
        self._taken: set[str] = set()
        self._gone: set[str] = set()
        self._nodes: Counter[str] = Counter()
        self._begun = asyncio.Event()
        self._stopped = asyncio.Event()
        self._has_ended = False

    @contextmanager
    def at_work(self, pod: DemoPod, session: Session) -> Iterator[None]:
        """A worker is at work while the block runs."""
        self._nodes[pod.node] += 1
        self._begun.set()
        try:
            yield
        finally:
            self._nodes[pod.node] -= 1
            self._stopped.set()
            if session.stopping.is_set() and not self._has_ended:
                if pod.name in self._taken:
                    self.reclaimed += 1
                    self.ordered += pod.name not in self._gone
                else:
                    self.killed += 1

    async def busiest_node(self) -> str:
        """The node with most workers at work, once there is one."""
        while not +self._nodes:
            self._begun.clear()
            await self._begun.wait()
        return max(sorted(self._nodes), key=self._nodes.__getitem__)

    async def left(self, node: str) -> None:
        """Wait until no worker is at work on this node."""
        while self._nodes[node] > 0:
            self._stopped.clear()
            await self._stopped.wait()

    def take_away(self, pods: Iterable[str]) -> None:
        """These pods' node will end: their workers stop for no other reason."""
        self._taken.update(pods)

    def gone(self, pods: Iterable[str]) -> None:
        """The node of these pods ends now: Kubernetes tells them to stop."""
        self._taken.update(pods)
        self._gone.update(pods)

    def end(self) -> None:
        """The demo ends: who stops from now on was not killed."""
        self._has_ended = True


SMALL, MEDIUM, LARGE = "demo-small", "demo-medium", "demo-large"
REQUESTS_PER_MINUTE: Final = {SMALL: 480, MEDIUM: 60, LARGE: 480}
BURST: Final = {SMALL: 30, MEDIUM: 8, LARGE: 30}
SKILL: Final = {SMALL: 0.85, MEDIUM: 0.95, LARGE: 1.0}
MOST_OUTPUT_TOKENS: Final = 900
CHARACTERS_PER_TOKEN: Final = 4
ANSWER_S: Final = 1.7
"""The mean time of an answer: it is a part of the task's time."""
MODELS: Final = (
    ModelTerms(
        name=SMALL,
        tier=ModelTier.NANO,
        context_tokens=16_000,
        input_price=Decimal("0.15"),
        output_price=Decimal("0.60"),
    ),
    ModelTerms(
        name=MEDIUM,
        tier=ModelTier.STANDARD,
        context_tokens=64_000,
        input_price=Decimal("0.80"),
        output_price=Decimal("3.20"),
    ),
    ModelTerms(
        name=LARGE,
        tier=ModelTier.PREMIUM,
        context_tokens=128_000,
        input_price=Decimal("2.50"),
        output_price=Decimal("10.00"),
    ),
)
"""As in the demo's fleet file, the cheapest first."""


def provider_models(speed: float) -> tuple[ProviderModel, ...]:
    """What the provider has: two models that are right most of the time, and one that always is.

    It allows a longer burst than the fleet file says, because requests of several workers may come
    at the same moment.
    """
    return tuple(
        ProviderModel(
            name=model.name,
            requests_per_minute=REQUESTS_PER_MINUTE[model.name] * speed,
            burst=BURST[model.name],
            first_token_s=0.3,
            tokens_per_s=400.0,
            skill=SKILL[model.name],
        )
        for model in MODELS
    )


class DemoAgents:
    """All agents of the demo, and what their answers used: `tokens` by tier, USD, and the USD that
    the accepted ones would have cost with the large model alone. `refused` calls met a limit.
    """

    def __init__(self, client: AsyncOpenAI, rng: random.Random, speed: float) -> None:
        self._client, self._rng, self._speed = client, rng, speed
        self.tokens = dict.fromkeys((model.tier.value for model in MODELS), 0)
        self.usd = self.usd_if_large = Decimal(0)
        self.calls = self.refused = 0
        self.called_medium = asyncio.Event()
        """Set by each call of the medium model."""

    async def work(self, load: PoolLoad, session: Session) -> object:
        """One task: tools for a while, then an answer. When the worker must end meanwhile, it
        stores how much is left to do; another one does that.
        """
        loop = asyncio.get_running_loop()
        left_s = session.resumed
        if left_s is None:
            tools_s = max(0.5, load.service_s - ANSWER_S)
            left_s = self._rng.gammavariate(4.0, tools_s / 4.0) / self._speed
        ends_at = loop.time() + left_s
        try:
            async with asyncio.timeout_at(ends_at):
                await session.stopping.wait()
        except TimeoutError:
            session.tool_call("search")
            return await self._answer(load, session)
        await session.checkpoint(max(0.0, ends_at - loop.time()))
        return None

    async def _answer(self, load: PoolLoad, session: Session) -> object:
        input_tokens = self._rng.randint(2_000, 12_000)
        messages: Any = [{"role": "user", "content": "x" * CHARACTERS_PER_TOKEN * input_tokens}]

        async def ask(model: str) -> ChatCompletion:
            self.calls += 1
            if model == MEDIUM:
                self.called_medium.set()
            try:
                return await self._client.chat.completions.create(
                    model=model, messages=messages, max_completion_tokens=MOST_OUTPUT_TOKENS
                )
            except RateLimitError:
                self.refused += 1
                raise

        try:
            answer = await session.models.solve(
                ask,
                accept=lambda said: said.choices[0].message.content == RIGHT,
                kind=load.name,
                input_tokens=input_tokens + 1,
                output_tokens=MOST_OUTPUT_TOKENS,
            )
        finally:
            self._count(session)
        return {"model": answer.model, "tokens": session.tokens}

    def _count(self, session: Session) -> None:
        best: UsedTokens | None = None
        for model in MODELS:
            used = session.usage.get(model.name)
            if used is not None:
                self.tokens[model.tier.value] += used.input + used.output
                self.usd += model.usd(used) or Decimal(0)
                best = used
        if best is not None:
            # with the large model alone, only the answer that was accepted would have been made
            self.usd_if_large += MODELS[-1].usd(best) or Decimal(0)


def agent_of(agents: DemoAgents, load: PoolLoad, crew: DemoCrew, pod: DemoPod) -> Agent:
    """The agent in one pod. It writes a line when a task begins and one when it is done."""

    async def work(task: Task, session: Session) -> object:
        resumed = ""
        if session.resumed is not None:
            resumed = ", and goes on from its checkpoint"
            crew.resumed += 1
        pod.write(f"task {task.id} begins, it waited {task.waited_s:.1f} s{resumed}")
        with crew.at_work(pod, session):
            result = await agents.work(load, session)
        pod.write(f"task {task.id} done: {session.tokens} tokens")
        return result

    return work
