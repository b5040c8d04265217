"""The calls of models that one task makes: within its session's limits, its budgets and the rates.

answer = await session.models.ask("gpt", lambda: client.chat.completions.create(…), …)
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager, suppress
from decimal import Decimal
from typing import Final, Protocol, TypeVar

from agentdash.worker.errors import LimitReached, Retryable
from agentdash.worker.provider_answers import is_refusal, retry_after_s, used_tokens
from agentdash.worker.rates import ModelGates, RatedCall
from agentdash.worker.router import Classifier, Router, TierHistory, TierRule, TierUse
from agentdash.worker.spending import Account, Debts, Spending, Spent
from agentdash.worker.task import Task
from controller.model.usage_event import UsedTokens
from controller.model.worker_terms import ModelTerms

log = logging.getLogger(__name__)
Answer = TypeVar("Answer")

REFUSALS: Final = 20
"""A call that the provider refuses so often in a row is given up: its task is tried again later."""


class CountsUsage(Protocol):
    """The part of a session that calls need: its task, its tokens, and the most it may use."""

    @property
    def task(self) -> Task:
        """The task."""

    @property
    def tokens(self) -> int:
        """Tokens of all kinds so far."""

    @property
    def most_tokens(self) -> int:
        """The most that the session and its task allow."""

    def count(self, tokens: UsedTokens, *, model: str, usd: float) -> None:
        """Count what a call used. Raises LimitReached."""

    def context(self, used: int, size: int) -> bool:
        """Report how much of the model's context is taken."""


class ModelCalls:
    """The calls of one task. Each call must fit into all budgets of `accounts`."""

    def __init__(
        self,
        session: CountsUsage,
        *,
        gates: ModelGates,
        models: Sequence[ModelTerms],
        history: TierHistory,
        spending: Spending,
        accounts: Sequence[Account] = (),
        model: str = "",
    ) -> None:
        """`model` is the one of calls that name none."""
        self._session, self._gates, self._history = session, gates, history
        self._models = {model.name: model for model in models}
        self._spending, self._accounts = spending, accounts
        self._reserved_tokens = 0
        self._saved_usd: dict[str, Decimal] = {}
        self._debts = Debts(spending, self._accounts)
        self._model = model

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
        """Returns when the accounts have what was used elsewhere, or cannot be written."""
        await self._debts.close()

    @asynccontextmanager
    async def call(
        self, model: str, *, input_tokens: int, output_tokens: int
    ) -> AsyncIterator[RatedCall]:
        """Wait until a call may start that uses at most so many tokens; the block makes it and says
        by `settle` what it used.

        A block that fails is counted as well, with its estimate if it has not said what it used.

        Raises LimitReached if the session or a budget does not allow it, and Retryable if a budget
        cannot be read.
        """
        await self.paid()
        estimate = UsedTokens(input=input_tokens, output=output_tokens)
        amount = self._cost(model, estimate)
        self._reserve_in_session(amount.tokens)
        used = Spent()
        reserved: list[Account] = []
        try:
            for account in self._accounts:
                await self._reserve(account, amount, model)
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
        route = await Router(self._history, rules, classifier).route(
            self._session.task,
            tuple(self._models.values()),
            kind=kind,
            expected=expected,
            budget_usd=await self._usd_left(),
            on_use=self._count_saving,
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

    async def _usd_left(self) -> Decimal | None:
        """What the tightest budget in USD has left; None without one."""
        left = [
            account.usd - (await self._spending.spent(account)).usd
            for account in self._accounts
            if account.usd is not None
        ]
        return min(left, default=None)

    def _count_saving(self, model: ModelTerms, use: TierUse) -> None:
        saved = self._saved_usd.get(model.name, Decimal(0))
        self._saved_usd[model.name] = saved + use.saved_usd

    def _count(self, tokens: UsedTokens, model: str, spent: Spent) -> None:
        terms = self._models.get(model)
        if terms is not None and terms.context_tokens is not None:
            self._session.context(spent.tokens, terms.context_tokens)
        self._session.count(tokens, model=model, usd=float(spent.usd))

    def _reserve_in_session(self, tokens: int) -> None:
        most = self._session.most_tokens
        ahead = self._session.tokens + self._reserved_tokens
        if ahead + tokens > most:
            raise LimitReached(
                f"{most:,} tokens are allowed: {ahead:,} are used or reserved, and the next call "
                f"may use {tokens:,}"
            )
        self._reserved_tokens += tokens

    async def _reserve(self, account: Account, amount: Spent, model: str) -> None:
        self._needs_price(account, model)
        await self._spending.reserve(account, amount)

    def _needs_price(self, account: Account, model: str) -> None:
        if account.usd is not None and self._price(model) is None:
            raise LimitReached(
                f"{account.subject} has a budget in USD, and {model or 'the model'} has no price: "
                "write its price into the fleet file"
            )

    async def _settle(self, accounts: Sequence[Account], amount: Spent, used: Spent) -> None:
        for account in accounts:
            try:
                await self._spending.settle(account, amount, used)
            except Retryable as error:
                # the estimate stays in the account: too much is counted, never too little
                log.warning("a call's cost could not be settled", extra={"error": str(error)})

    def _price(self, model: str) -> ModelTerms | None:
        terms = self._models.get(model)
        return None if terms is None or terms.usd(UsedTokens()) is None else terms

    def _cost(self, model: str, tokens: UsedTokens) -> Spent:
        price = self._price(model)
        usd = None if price is None else price.usd(tokens)
        return Spent(
            usd=Decimal(0) if usd is None else usd,
            tokens=tokens.input + tokens.cached_input + tokens.output,
        )
