"""The demo's agents: they use tools for a while, then they ask a model for an answer."""

from __future__ import annotations

import asyncio
import random
from decimal import Decimal
from typing import Any, Final, NamedTuple

from openai import AsyncOpenAI, RateLimitError
from openai.types.chat import ChatCompletion

from agentdash.demo.crew import DemoCrew, DemoPod
from agentdash.demo.load import PoolLoad
from agentdash.demo.provider import ProviderModel
from agentdash.demo.provider.server import RIGHT
from agentdash.worker import Agent, ModelTerms, ModelTier, Session, Task, UsedTokens

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


class Used(NamedTuple):
    """What the answers used: tokens by tier, USD, and the USD that the accepted ones would have
    cost with the large model alone. `refused` calls met a limit of the provider.
    """

    tokens: dict[str, int]
    usd: float
    usd_if_large: float
    calls: int
    refused: int


class DemoAgents:
    """All agents of the demo, and what their answers used."""

    def __init__(self, client: AsyncOpenAI, rng: random.Random, speed: float) -> None:
        self._client, self._rng, self._speed = client, rng, speed
        self._tokens = dict.fromkeys((model.tier.value for model in MODELS), 0)
        self._usd = self._usd_if_large = Decimal(0)
        self._calls = self._refused = 0
        self.called_medium = asyncio.Event()
        """Set by each call of the medium model."""

    def used(self) -> Used:
        """All answers so far."""
        return Used(
            tokens=dict(self._tokens),
            usd=float(self._usd),
            usd_if_large=float(self._usd_if_large),
            calls=self._calls,
            refused=self._refused,
        )

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
            self._calls += 1
            if model == MEDIUM:
                self.called_medium.set()
            try:
                return await self._client.chat.completions.create(
                    model=model, messages=messages, max_completion_tokens=MOST_OUTPUT_TOKENS
                )
            except RateLimitError:
                self._refused += 1
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
                self._tokens[model.tier.value] += used.input + used.output
                self._usd += model.usd(used) or Decimal(0)
                best = used
        if best is not None:
            # with the large model alone, only the answer that was accepted would have been made
            self._usd_if_large += MODELS[-1].usd(best) or Decimal(0)


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
