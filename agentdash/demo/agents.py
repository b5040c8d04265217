"""The demo's pools: the tasks of each, in flows, bursts and idle times that are repeated every
minute; and its agents, which use tools for a while and then ask a model, and which are at work.
"""

from __future__ import annotations

import asyncio
import logging
import math
import random
import ssl
import time
from collections import Counter
from collections.abc import Awaitable, Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from decimal import Decimal
from typing import Annotated, Any, Final, NamedTuple, Self

import msgspec
from aiohttp import web
from openai import AsyncOpenAI, DefaultAsyncHttpxClient, RateLimitError
from openai.types.chat import ChatCompletion

from agentdash.demo.process import WorldReport
from agentdash.worker import Agent, ModelTerms, ModelTier, Session, Task

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
        at = rng.expovariate(self.steady_per_s) if self.steady_per_s else CYCLE_S
        while at < CYCLE_S:
            times.append(at)
            at += rng.expovariate(self.steady_per_s)
        return sorted(at for at in times if not self.idle[0] <= at < self.idle[1])


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
_GOALS: Final[Mapping[str, tuple[str, ...]]] = {
    "research": (
        "Compare the three largest makers of sodium-ion cells by price, capacity and risk",
        "What did our competitors announce this week? Two sentences each, with sources",
        "Find studies on heat pumps in old buildings and sum up what they disagree about",
    ),
    "support": (
        "The customer was charged twice for one invoice: find out why and draft an answer",
        "Explain how to move a workspace to another region without losing its history",
    ),
    "browser": (
        "Open the supplier's portal and download last week's delivery notes",
        "Check whether the checkout still works with a gift card, with a picture of each step",
    ),
    "etl": ("Load last night's export into the warehouse and reconcile its totals",),
    "triage": ("Sort the new tickets by product and urgency, and name likely duplicates",),
    "review": (
        "Review the pull request for races and missing tests",
        "Does this migration lock the table of orders? Propose one that does not",
    ),
    "digest": ("Sum up the channel of the on-call team since yesterday in five lines",),
}


def payload_of(load: PoolLoad, number: int) -> dict[str, Any]:
    """What its task of this number asks for, as a platform's users might: always the same."""
    goals = _GOALS[load.name]
    reference = f"{load.name[:3].upper()}-{4000 + number}"
    return {"goal": goals[number % len(goals)], "reference": reference, "asked_by": load.tenant}


Publish = Callable[[PoolLoad, int], Awaitable[None]]
"""A pool's task by its number in that pool, however the pools' tasks follow each other."""


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
    began, cycle, number = loop.time(), 0, 0
    while True:
        for at in load.arrivals(seed, cycle):
            await asyncio.sleep(began + cycle * CYCLE_S + at - loop.time())
            number += 1
            await publish(load, number)
        cycle += 1
        await asyncio.sleep(began + cycle * CYCLE_S - loop.time())


class DemoPod(NamedTuple):
    """A pod with a worker; `write` adds a line to its log."""

    name: str
    node: str
    write: Callable[[str], None]


class DemoCrew:
    """The workers at a task; those that are told to stop then are counted in the report."""

    def __init__(self, report: WorldReport) -> None:
        self._report = report
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
                    self._report.reclaimed += 1
                    self._report.ordered += pod.name not in self._gone
                else:
                    self._report.killed += 1

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
    """All agents of the demo. What their answers used is counted in the report."""

    def __init__(
        self, client: AsyncOpenAI, rng: random.Random, speed: float, report: WorldReport
    ) -> None:
        self._client, self._rng, self._speed, self.report = client, rng, speed, report
        report.tokens = dict.fromkeys((model.tier.value for model in MODELS), 0)
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
            self.report.calls += 1
            if model == MEDIUM:
                self.called_medium.set()
            try:
                return await self._client.chat.completions.create(
                    model=model, messages=messages, max_completion_tokens=MOST_OUTPUT_TOKENS
                )
            except RateLimitError:
                self.report.refused_calls += 1
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
            usage, report = session.usage, self.report
            asked = [(model, usage[model.name]) for model in MODELS if model.name in usage]
            for each, used in asked:
                report.tokens[each.tier.value] += used.input + used.output
                report.usd += each.usd(used) or Decimal(0)
            if asked:
                # with the large model alone, only the accepted answer would have been made
                report.usd_if_large += MODELS[-1].usd(asked[-1][1]) or Decimal(0)
        return {"model": answer.model, "tokens": session.tokens}


def agent_of(agents: DemoAgents, load: PoolLoad, crew: DemoCrew, pod: DemoPod) -> Agent:
    """The agent in one pod. It writes a line when a task begins and one when it is done."""

    async def work(task: Task, session: Session) -> object:
        resumed = ""
        if session.resumed is not None:
            resumed = ", and goes on from its checkpoint"
            agents.report.resumed += 1
        pod.write(f"task {task.id} begins, it waited {task.waited_s:.1f} s{resumed}")
        with crew.at_work(pod, session):
            result = await agents.work(load, session)
        pod.write(f"task {task.id} done: {session.tokens} tokens")
        return result

    return work


MINUTE_S: Final = 60.0
SHUTDOWN_S: Final = 1.0
RIGHT, WRONG = "OK", "UNSURE"
DEFAULT_MOST_TOKENS: Final = 1_024
_HOST: Final = "127.0.0.1"


class ProviderModel(msgspec.Struct, frozen=True, kw_only=True):
    """A model: its limit (None: none), its speed, and how good it is.

    - `burst`: requests that may come at once.
    - `first_token_s`, `tokens_per_s`: how long an answer takes.
    - `skill`: the part of its answers that are right.
    """

    name: str
    requests_per_minute: float | None = None
    burst: int = 1
    first_token_s: float = 0.4
    tokens_per_s: float = 80.0
    skill: float = 1.0


class ModelAdmission:
    """What a model admits now: a bucket of requests that fills steadily (seconds)."""

    def __init__(self, model: ProviderModel) -> None:
        self._per_s = (model.requests_per_minute or math.inf) / MINUTE_S
        self._holds = self._level = float(model.burst)
        self._at = -math.inf
        self.admitted = self.refused = 0

    def enter(self, now: float) -> float | None:
        """Admit a request, or say after how many seconds to come again."""
        if math.isinf(self._per_s):
            self._level = self._holds
        elif self._at > -math.inf:
            self._level = min(self._level + (now - self._at) * self._per_s, self._holds)
        self._at = now
        if self._level >= 1 - 1e-9:
            self._level -= 1
            self.admitted += 1
            return None
        self.refused += 1
        self._level = 0.0  # what it has taken is missing when it comes again
        return 1 / self._per_s


class _Message(msgspec.Struct):
    content: str = ""


class _ChatRequest(msgspec.Struct):
    """The body of a request, as far as it is read."""

    model: str
    messages: Annotated[list[_Message], msgspec.Meta(min_length=1)]
    max_completion_tokens: Annotated[int, msgspec.Meta(ge=1)] = DEFAULT_MOST_TOKENS

    def input_tokens(self) -> int:
        """The tokens of all messages, by the rule of thumb."""
        letters = sum(len(message.content) for message in self.messages)
        return len(self.messages) + letters // CHARACTERS_PER_TOKEN


class DemoProvider:
    """A provider of these models on a loopback port. Use it with `async with`."""

    def __init__(
        self, models: Iterable[ProviderModel], *, speed: float = 1.0, seed: int = 0
    ) -> None:
        """`speed` divides the times that answers take, not the limits per minute."""
        self._models = {model.name: model for model in models}
        self.admissions = {name: ModelAdmission(model) for name, model in self._models.items()}
        self._speed, self._rng, self._port, self._answers = speed, random.Random(seed), 0, 0
        self._runner: web.ServerRunner | None = None

    @property
    def url(self) -> str:
        """The base URL for a client, once the server runs."""
        return f"http://{_HOST}:{self._port}/v1"

    async def __aenter__(self) -> Self:
        """Serve."""
        server = web.Server(self._handle, handler_cancellation=True)
        self._runner = web.ServerRunner(server, shutdown_timeout=SHUTDOWN_S)
        await self._runner.setup()
        await web.TCPSite(self._runner, _HOST, 0).start()
        self._port = int(self._runner.addresses[0][1])
        return self

    async def __aexit__(self, *_: object) -> None:
        """Stop serving; requests under way are cut."""
        if self._runner is not None:
            await self._runner.cleanup()

    async def _handle(self, request: web.BaseRequest) -> web.Response:
        if (request.method, request.path) != ("POST", "/v1/chat/completions"):
            return _refused(404, f"there is no {request.method} {request.path}")
        try:
            asked = msgspec.json.decode(await request.read(), type=_ChatRequest)
        except msgspec.DecodeError as error:
            return _refused(400, f"the body cannot be read: {error}")
        model = self._models.get(asked.model)
        if model is None:
            return _refused(404, f"the model {asked.model!r} does not exist")
        wait_s = self.admissions[model.name].enter(time.monotonic())
        if wait_s is not None:
            return _too_many(model, wait_s)
        most = asked.max_completion_tokens
        words = self._rng.randint(max(1, most // 4), most)
        text = RIGHT if self._rng.random() < model.skill else WRONG
        await asyncio.sleep((model.first_token_s + words / model.tokens_per_s) / self._speed)
        self._answers += 1
        message = {"role": "assistant", "content": text}
        used = asked.input_tokens()
        answer = {
            "id": f"chatcmpl-{self._answers}",
            "object": "chat.completion",
            "created": int(time.time()),
            "model": asked.model,
            "choices": [{"index": 0, "message": message, "finish_reason": "stop"}],
            "usage": {
                "prompt_tokens": used,
                "completion_tokens": words,
                "total_tokens": used + words,
                "prompt_tokens_details": {"cached_tokens": 0},
            },
        }
        return web.json_response(answer)


def provider_client(url: str) -> AsyncOpenAI:
    """A client of the provider as any agent has one, which leaves retries to its caller. It speaks
    plain HTTP on loopback, so it loads no certificates.
    """
    return AsyncOpenAI(
        base_url=url,
        api_key="demo",
        max_retries=0,
        http_client=DefaultAsyncHttpxClient(verify=ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)),
    )


def _refused(
    status: int,
    message: str,
    kind: str = "invalid_request_error",
    code: str | None = None,
    headers: dict[str, str] | None = None,
) -> web.Response:
    error = {"message": message, "type": kind, "param": None, "code": code}
    return web.json_response({"error": error}, status=status, headers=headers)


def _too_many(model: ProviderModel, wait_s: float) -> web.Response:
    """429 with Retry-After: whole seconds, rounded up, and exact milliseconds beside them."""
    message = (
        f"Rate limit reached for {model.name}: {model.requests_per_minute:g} requests per minute. "
        f"Please try again in {wait_s:.3f}s."
    )
    after = (("Retry-After", wait_s), ("Retry-After-Ms", wait_s * 1000))
    headers = {name: str(math.ceil(value)) for name, value in after}
    return _refused(429, message, "requests", "rate_limit_exceeded", headers)
