"""What calls of models may use: a worker's share of the provider's limits, and the budgets of tasks
and workflows.

Before a call its requests and tokens are taken from buckets that fill steadily; after it, what it
used in fact replaces the estimate. So at most the calls under way can pass a limit. When the
provider still refuses a call (HTTP 429), the worker halves its rate and then raises it again: fast
as long as it is far below the rate that was refused, slowly near it, and after a while beyond it
(as TCP's congestion control does).

A worker that has been told no share yet waits a little for it. Then it goes by its own setting, or
else begins slowly, and doubles its rate until a first refusal (as TCP's slow start does).

The buckets are not aiolimiter's. Its waiters go by their amount: a call of 1,000 tokens beside a
stream of calls of 100, at 6,000 a minute, waited for more than an hour, and waits for 29 s here. A
new rate is not seen by calls that wait (60 s in place of 16 s), and a bucket cannot be overdrawn by
what a call used in fact.

Before a call its estimate is also added to its budgets, if they allow it, by all workers together
(compare-and-set in NATS); after it the estimate is replaced by what the call used. So a budget is
passed at most by what calls under way use beyond their estimates. A worker that dies leaves the
estimate of its call there: it may have been spent.
"""

from __future__ import annotations

import asyncio
import hashlib
import logging
import re
from collections import deque
from collections.abc import AsyncIterator, Callable, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager, contextmanager
from decimal import Decimal
from typing import Final

import msgspec
import nats.errors
from nats.js import JetStreamContext

from agentdash.worker.session import LimitReached, Retryable, said_tokens
from agentdash.worker.stores import SharedValues, set_within
from controller.model.value import UndecodableError, decoded
from controller.model.worker_messages import ModelDemand, ModelShare, RateShare, UsedTokens

log = logging.getLogger(__name__)

LATE_S: Final = 0.1
"""A call that waits for a bucket wakes a little late. What has flowed into the full bucket since is
kept, up to so many seconds of it: else each call would lose it.
"""
TOKENS_HELD_S: Final = 10.0
"""A bucket of tokens holds what flows in so many seconds: a pause is not saved up for long."""
HALVED: Final = 0.5
LEAST_PACE: Final = 1 / 64
CREEP_S: Final = 5.0
CREEP: Final = 0.05
"""After a refusal a rate that the worker found itself grows by this part every CREEP_S seconds."""
STEP_S: Final = 1.0
"""So often the pace grows after a refusal of a share: twofold below half of the pace that was
refused, then by CREEP."""
NEAR: Final = 0.95
HELD_S: Final = 15.0
"""At this part of the pace that was refused it stays for so long; then that pace is forgotten."""
STORM_S: Final = 5.0
"""Refusals that follow each other so soon are one storm: its first, fastest pace is remembered."""
UNTOLD_S: Final = 2.0
"""A worker waits so long for its first allowance."""
CAUTIOUS_RPM: Final = 60.0
"""The requests per minute with which a worker begins that knows no share."""
RETRY_AFTER_S: Final = 1.0
"""The pause after a refusal that says no time itself."""
LONGEST_RETRY_AFTER_S: Final = 300.0
DEMAND_WINDOW_S: Final = 20.0
"""The use that a worker reports is that of the last so many seconds."""
SILENT_S: Final = 3.0
"""What a worker did not use or wait for in so many seconds is soon the share of others."""
COARSE: Final = (1.0, 1.5, 2.0, 3.0, 5.0, 7.0, 10.0)
"""Reported amounts are rounded up to these multiples of a power of ten."""


class LeakyBucket:
    """An amount that fills at `per_minute`, up to `holds`. Overdrawn, it is in debt."""

    def __init__(self, per_minute: float, holds: float, now: float) -> None:
        self._level = self._holds = holds
        self._per_s = per_minute / 60
        self._at = now
        self._is_awaited = False

    def change(self, per_minute: float, holds: float, now: float) -> None:
        """Fill at another rate from now on; what is in the bucket stays, as far as it holds it."""
        self._fill(now)
        self._per_s, self._holds = per_minute / 60, holds
        self._level = min(self._level, holds)

    def wait_s(self, amount: float, now: float) -> float:
        """The seconds until the amount may be taken: more than the bucket holds may be taken from a
        full one. Infinite if nothing flows.
        """
        self._fill(now)
        missing = min(amount, self._holds) - self._level
        self._is_awaited = missing > 1e-9
        if not self._is_awaited:
            return 0.0
        return missing / self._per_s if self._per_s else float("inf")

    def take(self, amount: float) -> None:
        """Take the amount, even if it is not there; a negative amount is put back."""
        self._level = min(self._level - amount, self._holds)

    def _fill(self, now: float) -> None:
        most = self._holds + (LATE_S * self._per_s if self._is_awaited else 0.0)
        self._level = min(self._level + (now - self._at) * self._per_s, most)
        self._at = now


class RatedCall:
    """One call under way: its estimate is reserved until `settle` says what it used."""

    def __init__(self, gate: ModelGate, estimate: UsedTokens, began: float) -> None:
        self._gate, self.estimate, self.began = gate, estimate, began
        self.used: UsedTokens | None = None
        self.was_refused = False

    @property
    def tokens(self) -> UsedTokens:
        """What the call used, or may have used: its estimate as long as nothing else is said."""
        return self.estimate if self.used is None else self.used

    def settle(self, used: UsedTokens) -> None:
        """Count these tokens in place of the estimate. Raises ValueError."""
        self.used = said_tokens(used)

    def refused(self, retry_after_s: float | None = None) -> None:
        """The provider refused the call (429): it used no tokens, only a request. Nothing starts
        for so many seconds, and the pace is halved.
        """
        self.used, self.was_refused = UsedTokens(), True
        self._gate.slow_down(self.began, retry_after_s)


class ModelGate:
    """The gate that all of a worker's calls of one model pass, first come, first served.

    It belongs to the event loop in which it is made, and its clock is that loop's.
    """

    def __init__(self, model: str, share: RateShare | None) -> None:
        """Without a share it begins cautiously."""
        self.model, self._share = model, share or RateShare()
        self._loop = asyncio.get_running_loop()
        self._buckets: dict[str, LeakyBucket] = {}
        self.pace = 1.0
        """The part of the share that is used: 1 unless the provider refused calls. Without a limit
        on requests it is a part of the rate that the worker found itself, and may pass 1.
        """
        self._own_rpm = CAUTIOUS_RPM if share is None else None
        self._under_way = 0
        self._closed_until = self._slowed_at = float("-inf")
        self._refused_pace, self._near_since = 1.0, float("inf")
        self._turn = asyncio.Lock()
        self._changed = asyncio.Event()
        self._creeping: asyncio.TimerHandle | None = None
        self._recent: deque[tuple[float, RatedCall]] = deque()
        self._short: dict[str, float] = {}
        self._set_pace(1.0)

    def hold_to(self, share: RateShare) -> None:
        """Hold to this share from now on; calls that wait go by it."""
        was_guess = self._own_rpm is not None and not self._was_refused
        if share == self._share and not was_guess:
            return
        self._share = share
        if was_guess or share.requests_per_minute is not None:
            self._own_rpm, self.pace = None, min(self.pace, 1.0)
        self._settle_buckets()

    @asynccontextmanager
    async def call(self, estimate: UsedTokens) -> AsyncIterator[RatedCall]:
        """Wait until a call with these estimated tokens may start; the block makes the call.

        A block that ends without `settle` is counted with its estimate.
        """
        async with self._turn:
            await self._wait(estimate)
            self._take(estimate)
        call = RatedCall(self, estimate, self._loop.time())
        self._under_way += 1
        try:
            yield call
        finally:
            self._under_way -= 1
            self._take(call.tokens, instead_of=estimate)
            self._recent.append((self._loop.time(), call))
            self._forget()
            self._changed.set()

    def slow_down(self, began: float, retry_after_s: float | None) -> None:
        """Halve the pace, once for all calls that were under way when it was halved last."""
        now = self._loop.time()
        pause = RETRY_AFTER_S if retry_after_s is None else retry_after_s
        closed_until, until = self._closed_until, now + min(max(pause, 0.0), LONGEST_RETRY_AFTER_S)
        self._closed_until = max(closed_until, until)
        if began > self._slowed_at:
            self._find_rate()
            is_storm = now - max(self._slowed_at, closed_until) < STORM_S
            self._refused_pace = max(self.pace, self._refused_pace if is_storm else 0.0)
            self._slowed_at, self._near_since = now, float("inf")
            self._set_pace(max(self.pace * HALVED, LEAST_PACE))

    def demand(self) -> ModelDemand:
        """The use of the last seconds in coarse steps, and the limits that calls wait for. Of a
        worker that has fallen silent it is less than one call in `SILENT_S` more than it made.
        """
        self._forget()
        now, per_minute = self._loop.time(), 60 / DEMAND_WINDOW_S
        used = [call.tokens for _, call in self._recent]
        refused = sum(call.was_refused for _, call in self._recent)
        just_now = sum(at >= now - SILENT_S for at, _ in self._recent)
        most = min(len(used) * per_minute, (just_now + 1) * 60 / SILENT_S)
        each = most / len(used) if used else 0.0
        return ModelDemand(
            model=self.model,
            requests_per_minute=_coarse(most),
            refused_per_minute=_coarse(refused * per_minute),
            input_tokens_per_minute=_coarse(sum(call.input for call in used) * each),
            output_tokens_per_minute=_coarse(sum(call.output for call in used) * each),
            parallel=self._under_way,
            short_of=tuple(
                sorted(name for name, at in self._short.items() if at >= now - SILENT_S)
            ),
        )

    def close(self) -> None:
        """Stop the timer that raises the pace."""
        if self._creeping is not None:
            self._creeping.cancel()

    @property
    def _was_refused(self) -> bool:
        return self._slowed_at > float("-inf")

    def _find_rate(self) -> None:
        """Where requests have no limit, that which is halved is the rate that was reached."""
        if self._share.requests_per_minute is not None:
            return
        if self._own_rpm is None:
            self._forget()
            answered = sum(not call.was_refused for _, call in self._recent)
            self._own_rpm = max(answered * 60 / DEMAND_WINDOW_S, CAUTIOUS_RPM)
        else:
            self._own_rpm = max(self._own_rpm * self.pace, CAUTIOUS_RPM * LEAST_PACE)
        self.pace = 1.0

    async def _wait(self, estimate: UsedTokens) -> None:
        """Return when each limit has room; those without are short for a while."""
        try:
            await self._wait_for_all(estimate)
        finally:
            now = self._loop.time()
            self._short = {name: min(at, now) for name, at in self._short.items()}

    async def _wait_for_all(self, estimate: UsedTokens) -> None:
        while True:
            self._changed.clear()
            now = self._loop.time()
            wait_s = self._closed_until - now
            amounts = _amounts(estimate)
            for name, bucket in self._buckets.items():
                needed_s = bucket.wait_s(amounts[name], now)
                if needed_s > 0:
                    self._short[name] = float("inf")
                wait_s = max(wait_s, needed_s)
            if self._share.parallel is not None and self._under_way >= self._share.parallel:
                self._short["parallel"] = float("inf")
                wait_s = float("inf")
            if wait_s <= 0:
                return
            # until a share changes or a call ends
            await set_within(self._changed, None if wait_s == float("inf") else wait_s)

    def _take(self, tokens: UsedTokens, instead_of: UsedTokens | None = None) -> None:
        """Take a call and its tokens; or its tokens in place of those that were taken for it."""
        taken = {} if instead_of is None else _amounts(instead_of)
        amounts = _amounts(tokens)
        for name, bucket in self._buckets.items():
            bucket.take(amounts[name] - taken.get(name, 0.0))

    def _forget(self) -> None:
        since = self._loop.time() - DEMAND_WINDOW_S
        while self._recent and self._recent[0][0] < since:
            self._recent.popleft()

    def _settle_buckets(self) -> None:
        """Make the buckets as the share and the pace say; those that exist keep their level."""
        now = self._loop.time()
        for name in _amounts(UsedTokens()):
            is_requests = name == "requests_per_minute"
            per_minute = getattr(self._share, name)
            if is_requests and per_minute is None:
                per_minute = self._own_rpm
            if per_minute is None:
                self._buckets.pop(name, None)
                continue
            rate = per_minute * (self.pace if is_requests else min(self.pace, 1.0))
            # a burst that was refused is halved, too
            holds = (
                max(1.0, self._share.burst * min(self.pace, 1.0))
                if is_requests
                else per_minute * TOKENS_HELD_S / 60
            )
            if name in self._buckets:
                self._buckets[name].change(rate, holds, now)
            else:
                self._buckets[name] = LeakyBucket(rate, holds, now)
        self._changed.set()

    def _set_pace(self, pace: float) -> None:
        self.pace = pace
        self._settle_buckets()
        self.close()
        if self._own_rpm is not None:
            self._creeping = self._loop.call_later(CREEP_S, self._find_more)
        elif pace < 1:
            self._creeping = self._loop.call_later(STEP_S, self._recover)

    def _recover(self) -> None:
        """Raise the pace towards the share; for a while only to just below what was refused."""
        refused, pace, now = self._refused_pace, self.pace, self._loop.time()
        if now < self._closed_until:
            pass  # nothing starts, so nothing shows that more is possible
        elif pace < refused * HALVED:
            pace = min(2 * pace, refused * HALVED)
        elif pace + CREEP <= refused * NEAR or now - self._near_since >= HELD_S:
            pace += CREEP
        else:
            pace = max(pace, refused * NEAR)
            self._near_since = min(self._near_since, now)
        self._set_pace(min(1.0, pace))

    def _find_more(self) -> None:
        """Raise a rate of the worker's own as long as calls wait for more."""
        is_wanted = self._short.get("requests_per_minute", 0.0) >= self._loop.time() - CREEP_S
        more = CREEP if self._was_refused else self.pace
        self._set_pace(self.pace + more if is_wanted else self.pace)


class ModelGates:
    """The gates of one worker, one for each model; its sessions share them."""

    def __init__(self, own: Mapping[str, RateShare]) -> None:
        """`own` are the shares that hold until a controller gives others."""
        self._shares = dict(own)
        self._gates: dict[str, ModelGate] = {}
        self._heard = asyncio.Event()
        self._is_told = False

    async def told(self) -> None:
        """Returns with the first allowance, or once it was waited for in vain for `UNTOLD_S`."""
        if not await set_within(self._heard, UNTOLD_S):
            self._heard.set()

    def hold_to(self, shares: Sequence[ModelShare], worker: str) -> None:
        """Hold to this worker's part of its pool's shares; other models have its own limits."""
        self._is_told = True
        self._shares |= {share.model: share.of(worker) for share in shares}
        for model, gate in self._gates.items():
            gate.hold_to(self._shares.get(model, RateShare()))
        self._heard.set()

    async def gate(self, model: str) -> ModelGate:
        """The gate of a model, once the worker has been told its share or need not wait for it."""
        await self.told()
        if model not in self._gates:
            unlimited = RateShare() if self._is_told else None
            self._gates[model] = ModelGate(model, self._shares.get(model, unlimited))
        return self._gates[model]

    def demand(self) -> tuple[ModelDemand, ...]:
        """What the worker reports, by the models' names; models that are not used are left out."""
        demands = (self._gates[name].demand() for name in sorted(self._gates))
        return tuple(each for each in demands if each != ModelDemand(model=each.model))

    def close(self) -> None:
        """Stop the gates' timers."""
        for gate in self._gates.values():
            gate.close()


def _amounts(tokens: UsedTokens) -> dict[str, float]:
    """What a call with these tokens takes of each limit, by its name in RateShare.

    Input that is read from the provider's cache is not counted (Anthropic and Groq do not either).
    """
    return {
        "requests_per_minute": 1.0,
        "tokens_per_minute": tokens.input + tokens.output,
        "input_tokens_per_minute": tokens.input,
        "output_tokens_per_minute": tokens.output,
    }


def _coarse(amount: float) -> float:
    """The amount rounded up to a coarse step, so that small changes are not reported."""
    if amount <= 0:
        return 0.0
    power = 1.0
    while power * 10 < amount:
        power *= 10
    while power > amount:
        power /= 10
    return next(step * power for step in COARSE if step * power >= amount)


SPENDING_BUCKET: Final = "agentdash_spending"
SPENDING_KEPT_S: Final = 30 * 86_400.0
"""An account without a change for so long is forgotten."""
TRIES: Final = 40
"""A write that other workers overtake so often is given up, and the task is tried again later."""
_PLAIN_NAME: Final = re.compile(r"[A-Za-z0-9_=-]{1,128}\Z")


class Spent(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """USD and tokens of all kinds."""

    usd: Decimal = Decimal(0)
    tokens: int = 0

    def __add__(self, other: Spent) -> Spent:
        return Spent(usd=self.usd + other.usd, tokens=self.tokens + other.tokens)

    def __sub__(self, other: Spent) -> Spent:
        return Spent(usd=self.usd - other.usd, tokens=self.tokens - other.tokens)


_SPENT: Final = msgspec.json.Decoder(Spent)


class Account(msgspec.Struct, frozen=True, kw_only=True):
    """One budget: `subject` names it to people, such as `workflow w-7`. None is no limit."""

    key: str
    subject: str
    usd: Decimal | None = None
    tokens: int | None = None

    def check(self, spent: Spent, more: Spent | None = None) -> None:
        """Raises LimitReached if it is spent, or would be with what the next call may use."""
        after = spent if more is None else spent + more
        told = ahead = ""
        if self.usd is not None and after.usd > self.usd:
            told = f"{self.subject} may cost {self.usd} USD: {spent.usd:.4f} are spent"
            ahead = "" if more is None else f"cost {more.usd:.4f}"
        elif self.tokens is not None and after.tokens > self.tokens:
            told = f"{self.subject} may use {self.tokens:,} tokens: {spent.tokens:,} are used"
            ahead = "" if more is None else f"use {more.tokens:,}"
        if told:
            reserved = f" or reserved, and the next call may {ahead}" if ahead else ""
            raise LimitReached(told + reserved)


def task_account(
    tenant: str, pool: str, task: str, usd: float | None, tokens: int | None
) -> Account | None:
    """The account of a task's own budget; None if it has none."""
    if usd is None and tokens is None:
        return None
    return Account(
        key=f"{tenant}.task.{pool}.{_safe(task)}",
        subject="the task",
        usd=None if usd is None else Decimal(str(usd)),
        tokens=tokens,
    )


def workflow_account(tenant: str, workflow: str, usd: Decimal | None) -> Account | None:
    """The account of a workflow; None if it has no name or no limit."""
    if not workflow or usd is None:
        return None
    return Account(
        key=f"{tenant}.workflow.{_safe(workflow)}", subject=f"workflow {workflow}", usd=usd
    )


class Spending:
    """The accounts. Methods raise Retryable without NATS: an unread budget allows nothing."""

    def __init__(self, stream: JetStreamContext) -> None:
        self._accounts: SharedValues[Spent] = SharedValues(
            stream,
            SPENDING_BUCKET,
            kept_s=SPENDING_KEPT_S,
            read=lambda value: decoded(_SPENT, value or b"{}"),
            write=msgspec.json.encode,
        )

    async def reserve(self, account: Account, amount: Spent) -> None:
        """Add the amount, or raise LimitReached if the account would pass its limit."""

        def added(spent: Spent) -> Spent:
            account.check(spent, amount)
            return spent + amount

        await self._change(account.key, added)

    async def spend(self, account: Account, amount: Spent) -> Spent:
        """Add what was used already, also above the limit; returns what is spent now."""
        return await self._change(account.key, lambda spent: spent + amount)

    async def spent(self, account: Account) -> Spent:
        """What is spent or reserved now."""
        with _away(account.key):
            return await self._accounts.get(account.key)

    async def _change(self, key: str, changed: Callable[[Spent], Spent]) -> Spent:
        with _away(key):
            after = await self._accounts.change(key, changed, tries=TRIES)
        if after is None:
            words = f"other workers changed {key} in {SPENDING_BUCKET} {TRIES} times meanwhile"
            raise Retryable(words)
        return after


class Debts:
    """What one task used without a reservation, on its way into its accounts."""

    def __init__(self, spending: Spending, accounts: Sequence[Account]) -> None:
        self._spending, self._accounts = spending, accounts
        self._owed = {account.key: Spent() for account in accounts}
        self._known = dict(self._owed)
        self._storing: asyncio.Task[None] | None = None

    def add(self, amount: Spent) -> None:
        """Count the amount and begin to store it. Raises LimitReached if an account is above its
        limit, as far as it is known here.
        """
        self._owed = {key: owed + amount for key, owed in self._owed.items()}
        self._begin()
        self._check()

    async def paid(self) -> None:
        """Returns when all is stored. Raises LimitReached if an account is above its limit then."""
        await self.close()
        self._check()

    async def close(self) -> None:
        """Returns when all is stored, or cannot be."""
        self._begin()
        if self._storing is not None:
            await asyncio.shield(self._storing)

    def _check(self) -> None:
        for account in self._accounts:
            account.check(self._known[account.key] + self._owed[account.key])

    def _begin(self) -> None:
        is_storing = self._storing is not None and not self._storing.done()
        if not is_storing and any(owed != Spent() for owed in self._owed.values()):
            self._storing = asyncio.create_task(self._store())

    async def _store(self) -> None:
        """Store what is owed, and what comes meanwhile."""
        while left := [each for each in self._accounts if self._owed[each.key] != Spent()]:
            for account in left:
                owed = self._owed[account.key]
                try:
                    self._known[account.key] = await self._spending.spend(account, owed)
                except Retryable as error:
                    # it stays owed, and is stored with what is used next
                    log.warning("what a task used is not in its account yet: %s", error)
                    return
                self._owed[account.key] -= owed


@contextmanager
def _away(key: str) -> Iterator[None]:
    """Turns what NATS raises into Retryable."""
    try:
        yield
    except (nats.errors.Error, UndecodableError) as error:
        raise Retryable(f"budget {key} in {SPENDING_BUCKET} is not available: {error}") from error


def _safe(name: str) -> str:
    """The name as a part of a key; one that cannot be a part is hashed."""
    if _PLAIN_NAME.match(name):
        return name
    return f"sha256-{hashlib.sha256(name.encode(errors='replace')).hexdigest()}"
