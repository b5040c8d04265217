"""The models that a worker's tasks use: their calls, within the session's limits, the budgets and
the rates, and what the controller allows.

answer = await session.models.ask("gpt", lambda: client.chat.completions.create(…), …)

Nothing of providers' clients is imported: the attributes are those of the openai and anthropic
packages.
"""

from __future__ import annotations

import asyncio
import logging
import math
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager, suppress
from decimal import Decimal
from typing import Any, Final, TypeVar

import msgspec
from nats import errors
from nats.aio.msg import Msg
from nats.aio.subscription import Subscription

from agentdash.worker.limits import (
    Account,
    Debts,
    ModelGates,
    RatedCall,
    Spending,
    Spent,
    task_account,
    workflow_account,
)
from agentdash.worker.router import (
    Classifier,
    LearnedTries,
    OnUse,
    Route,
    TierRule,
    TierUse,
    least_tier,
)
from agentdash.worker.session import HandBack, LimitReached, Retryable, Session, said_tokens
from agentdash.worker.settings import WorkerSettings
from agentdash.worker.state import WorkerMetrics
from agentdash.worker.stores import NatsLink, bucket, end, newest
from controller.model.text import clean
from controller.model.value import UndecodableError, decoded
from controller.model.worker_messages import (
    ALLOWANCES_BUCKET,
    MOST_TOKENS_OF_A_TASK,
    REPORT_S,
    ModelTerms,
    PoolAllowance,
    SessionLimits,
    UsedTokens,
    WorkerTerms,
    orders_key,
)

log = logging.getLogger(__name__)
Answer = TypeVar("Answer")

TOO_MANY_REQUESTS: Final = 429
_MOST: Final = MOST_TOKENS_OF_A_TASK // 2
"""Two counts are added."""
REFUSALS: Final = 20
"""A call that the provider refuses so often in a row is given up: its task is tried again later."""
_ALLOWANCE: Final = msgspec.json.Decoder(PoolAllowance)


def is_refusal(error: Exception) -> bool:
    """Whether the provider refused a call because of its rate limits (HTTP 429).

    A quota that is used up has the same status at OpenAI, but waiting does not help there.
    """
    status = getattr(error, "status_code", None)
    return status == TOO_MANY_REQUESTS and getattr(error, "code", None) != "insufficient_quota"


def retry_after_s(error: Exception) -> float | None:
    """The seconds after which the provider wants the call again; None if it does not say."""
    headers = getattr(getattr(error, "response", None), "headers", None)
    if headers is None:
        return None
    for name, per_second in (("retry-after-ms", 1000.0), ("retry-after", 1.0)):
        try:
            seconds = float(headers.get(name, "")) / per_second
        except (TypeError, ValueError):
            continue  # missing, or a date: then the usual pause applies
        if math.isfinite(seconds) and seconds >= 0:
            return seconds
    return None


def used_tokens(answer: object) -> UsedTokens | None:
    """The tokens in an answer's `usage`; None if it has none.

    OpenAI counts cached input within the input, Anthropic beside it.
    """
    usage = getattr(answer, "usage", None)
    if usage is None:
        return None
    if getattr(usage, "prompt_tokens", None) is not None:
        cached = _count(getattr(usage, "prompt_tokens_details", None), "cached_tokens")
        return UsedTokens(
            input=max(0, _count(usage, "prompt_tokens") - cached),
            cached_input=cached,
            output=_count(usage, "completion_tokens"),
        )
    if getattr(usage, "input_tokens", None) is None:
        return None
    details = getattr(usage, "input_tokens_details", None)
    within = _count(details, "cached_tokens")
    return UsedTokens(
        input=max(0, _count(usage, "input_tokens") - within)
        + _count(usage, "cache_creation_input_tokens"),
        cached_input=within + _count(usage, "cache_read_input_tokens"),
        output=_count(usage, "output_tokens"),
    )


def _count(holder: Any, name: str) -> int:
    count = getattr(holder, name, None)
    return min(int(count), _MOST) if isinstance(count, int) and count > 0 else 0


class ModelCalls:
    """The calls of one task. Each call must fit into all budgets of `accounts`."""

    def __init__(
        self,
        session: Session,
        *,
        gates: ModelGates,
        models: Sequence[ModelTerms],
        history: LearnedTries,
        spending: Spending,
        accounts: Sequence[Account] = (),
        model: str = "",
        on_use: OnUse = lambda *_: None,
        on_refusal: Callable[[str], None] = lambda _: None,
    ) -> None:
        """`model` is that of calls that name none; `on_use` is told of each try of `solve`, and
        `on_refusal` of the model of each call that the provider refuses.
        """
        self._session, self._gates, self._history = session, gates, history
        self._models = {model.name: model for model in models}
        self._spending, self._accounts = spending, accounts
        self._reserved_tokens = 0
        self._saved_usd: dict[str, Decimal] = {}
        self._debts = Debts(spending, self._accounts)
        self._model, self._on_use, self._on_refusal = model, on_use, on_refusal
        self._is_closed = False

    def tier(self, model: str) -> str:
        """The tier of a model of these terms; empty for another."""
        terms = self._models.get(model)
        return "" if terms is None else terms.tier.value

    def saved_usd(self, model: str) -> float:
        """What the calls of this model that `solve` made have saved against the best model alone;
        less than 0 where their answers were not accepted.
        """
        return float(self._saved_usd.get(model, 0))

    def charge(self, tokens: UsedTokens, *, model: str, usd: float | None) -> None:
        """Count what a call used that was made elsewhere, at its model's price unless `usd` is
        given. Raises LimitReached.
        """
        priced = model or self._model
        spent = self._cost(priced, tokens)
        if usd is not None:
            spent = Spent(usd=Decimal(str(usd)), tokens=spent.tokens)
        try:
            self._session.count(tokens, model=model, usd=float(spent.usd))
        finally:
            self._debts.add(spent)
        if usd is None:
            for account in self._accounts:
                self._needs_price(account, priced)

    async def paid(self) -> None:
        """Returns when the accounts have what was used elsewhere. Raises LimitReached if that is
        more than one allows.
        """
        await self._debts.paid()

    async def close(self) -> None:
        """Returns when the accounts have what was used elsewhere, or cannot be written. No call
        starts any more.
        """
        self._is_closed = True
        await self._debts.close()

    @asynccontextmanager
    async def call(
        self, model: str, *, input_tokens: int, output_tokens: int
    ) -> AsyncIterator[RatedCall]:
        """Wait until a call may start that uses at most so many tokens; the block makes it and says
        by `settle` what it used.

        A block that fails is counted as well, with its estimate if it has not said what it used.

        Raises LimitReached if the session or a budget does not allow it, Retryable if a budget
        cannot be read, HandBack if the task has gone on without this try, and ValueError for a
        number of tokens that no call can have.
        """
        estimate = said_tokens(UsedTokens(input=input_tokens, output=output_tokens))
        if self._is_closed:
            raise HandBack("the task has gone on without this try")
        await self.paid()
        amount = self._cost(model, estimate)
        most, ahead = self._session.most_tokens, self._session.tokens + self._reserved_tokens
        if ahead + amount.tokens > most:
            raise LimitReached(
                f"{most:,} tokens are allowed: {ahead:,} are used or reserved, and the next call "
                f"may use {amount.tokens:,}"
            )
        self._reserved_tokens += amount.tokens
        used = Spent()
        reserved: list[Account] = []
        try:
            for account in self._accounts:
                self._needs_price(account, model)
                await self._spending.reserve(account, amount)
                reserved.append(account)
            gate = await self._gates.gate(model)
            async with gate.call(estimate) as rated:
                try:
                    yield rated
                except BaseException:  # a cancelled call has used tokens too
                    used = self._cost(model, rated.tokens)
                    with suppress(LimitReached):  # the block's own error says more
                        self._count(rated.tokens, model, used)
                    raise
                finally:
                    if rated.was_refused:
                        self._on_refusal(model)
                used = self._cost(model, rated.tokens)
            self._count(rated.tokens, model, used)
        finally:
            self._reserved_tokens -= amount.tokens
            await asyncio.shield(self._settle(reserved, amount, used))

    async def ask(
        self,
        model: str,
        make: Callable[[], Awaitable[Answer]],
        *,
        input_tokens: int,
        output_tokens: int,
    ) -> Answer:
        """Make a call that uses at most so many tokens, and return the provider's answer; a call
        that is refused for its rate (429) is made again when the provider says so.

        The tokens are read from the answer's `usage`, as OpenAI's and Anthropic's clients give it;
        without one the estimate counts. Raises what `call` raises, and what `make` raises for
        anything but a refusal.
        """
        for _ in range(REFUSALS):
            async with self.call(
                model, input_tokens=input_tokens, output_tokens=output_tokens
            ) as rated:
                try:
                    answer = await make()
                except Exception as error:
                    if not is_refusal(error):
                        raise
                    rated.refused(retry_after_s(error))
                    continue
                rated.settle(used_tokens(answer) or rated.estimate)
            return answer
        raise Retryable(f"the provider of {model} refused a call {REFUSALS} times: its rate limit")

    async def solve(
        self,
        make: Callable[[str], Awaitable[Answer]],
        *,
        accept: Callable[[Answer], bool],
        kind: str,
        input_tokens: int,
        output_tokens: int,
        rules: Sequence[TierRule] = (),
        classifier: Classifier | None = None,
    ) -> Answer:
        """Make calls, each by `ask`, until an answer is accepted, and return that answer: first of
        the cheapest model that is likely to do it, then of better ones. `make` gets the model's
        name.

        What was accepted is learned for this `kind` of task. Raises LimitReached if no model, or
        none that the budgets allow, gives an answer that is accepted; and what `ask` raises.
        """
        expected = UsedTokens(input=input_tokens, output=output_tokens)
        left = [
            account.usd - (await self._spending.spent(account)).usd
            for account in self._accounts
            if account.usd is not None
        ]
        route = Route(
            kind,
            tuple(self._models.values()),
            self._history,
            expected=expected,
            least=await least_tier(self._session.task, rules, classifier),
            budget_usd=min(left, default=None),
            on_use=self._count_use,
        )
        while True:
            model = route.model.name
            answer = await self.ask(
                model,
                lambda model=model: make(model),  # type: ignore[misc]
                input_tokens=input_tokens,
                output_tokens=output_tokens,
            )
            used = used_tokens(answer) or expected
            if accept(answer):
                route.succeeded(used)
                return answer
            route.failed(used)

    def _count_use(self, model: ModelTerms, use: TierUse) -> None:
        self._on_use(model, use)
        saved = self._saved_usd.get(model.name, Decimal(0))
        self._saved_usd[model.name] = saved + use.saved_usd

    def _count(self, tokens: UsedTokens, model: str, spent: Spent) -> None:
        terms = self._models.get(model)
        if terms is not None and terms.context_tokens is not None:
            self._session.context(spent.tokens, terms.context_tokens)
        self._session.count(tokens, model=model, usd=float(spent.usd))

    def _needs_price(self, account: Account, model: str) -> None:
        if account.usd is not None and self._usd(model, UsedTokens()) is None:
            raise LimitReached(
                f"{account.subject} has a budget in USD, and {model or 'the model'} has no price: "
                "write its price into the fleet file"
            )

    async def _settle(self, accounts: Sequence[Account], amount: Spent, used: Spent) -> None:
        for account in accounts:
            try:
                if used != amount:
                    await self._spending.spend(account, used - amount)
            except Retryable as error:
                # the estimate stays in the account: too much is counted, never too little
                log.warning("a call's cost could not be settled", extra={"error": str(error)})

    def _usd(self, model: str, tokens: UsedTokens) -> Decimal | None:
        """The price of these tokens; None for a model without a price."""
        terms = self._models.get(model)
        return None if terms is None else terms.usd(tokens)

    def _cost(self, model: str, tokens: UsedTokens) -> Spent:
        total = tokens.input + tokens.cached_input + tokens.output
        return Spent(usd=self._usd(model, tokens) or Decimal(0), tokens=total)


class PoolModels:
    """What the tasks of a worker's pool may use, and what was learned of them: one for each worker.

    Until a controller says more, the worker's own settings apply. While NATS is away, what it said
    last holds.
    """

    def __init__(self, settings: WorkerSettings, link: NatsLink, metrics: WorkerMetrics) -> None:
        self._settings, self._link = settings, link
        self._terms = WorkerTerms(model=settings.model, models=settings.models)
        self._spending = Spending(link.jetstream)
        self._metrics = metrics
        self._bucket = bucket(link.jetstream, ALLOWANCES_BUCKET)
        self._key = orders_key(settings.tenant, settings.pool)
        self._subscription: Subscription | None = None
        self.gates = ModelGates(settings.rates)
        self.learned = LearnedTries(link.jetstream, settings.tenant, settings.pool)

    @property
    def limits(self) -> SessionLimits:
        """The limits of a session that begins now."""
        return self._terms.session or self._settings.limits

    @property
    def tier(self) -> int:
        """The priority of the pool's tier, 0 as long as it is not known."""
        return self._terms.tier

    @property
    def must_be_told(self) -> bool:
        """Whether the worker's settings say that its tasks call models. Where they do not, calls
        wait for the first allowance, if there are any, and pulling does not.
        """
        return bool(self._settings.model or self._settings.models or self._settings.rates)

    def calls(self, session: Session) -> ModelCalls:
        """The calls of one session."""
        tenant, pool, task = self._settings.tenant, self._settings.pool, session.task
        terms = task.terms
        accounts = (
            task_account(tenant, pool, task.id, terms.budget_usd, terms.budget_tokens),
            workflow_account(tenant, terms.workflow, self._terms.usd_per_workflow),
        )
        return ModelCalls(
            session,
            gates=self.gates,
            models=self._terms.models,
            history=self.learned,
            spending=self._spending,
            accounts=[account for account in accounts if account is not None],
            model=self._terms.model or self._settings.model,
            on_use=self._metrics.routed,
            on_refusal=self._metrics.refused,
        )

    async def begin(self) -> None:
        """Listen to the controller, read what is stored and learned. Raises nats.errors.Error."""
        if self._subscription is None:
            subject = f"$KV.{ALLOWANCES_BUCKET}.{self._key}"
            self._subscription = await self._link.client.subscribe(subject, cb=self._on_change)
        await self._read()
        await self.learned.recall()

    async def run(self) -> None:
        """Until cancelled, read the allowance (messages get lost) and store what was learned."""
        while True:
            await asyncio.sleep(REPORT_S)
            try:
                await self._read()
            except errors.Error as error:
                log.warning("what the pool may use could not be read: %s", clean(error))
            await self.learned.save()

    async def end(self) -> None:
        """Listen no more: others may use the connection."""
        self.gates.close()
        await end(self._subscription)

    async def _read(self) -> None:
        self._heed((await newest(self._bucket, self._key))[0] or b"")

    async def _on_change(self, message: Msg) -> None:
        self._heed(message.data)

    def _heed(self, value: bytes) -> None:
        """Go by what the controller allows; where it says nothing, by its last word."""
        if not value:
            return
        try:
            allowance = decoded(_ALLOWANCE, value)
        except UndecodableError as error:
            log.warning("what the pool may use cannot be read and is ignored: %s", error)
            return
        self._terms = allowance.terms
        self.gates.hold_to(allowance.shares, self._settings.worker)
