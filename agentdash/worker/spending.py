"""What tasks and workflows have spent, counted across workers, so that no budget is passed.

Before a call its estimate is added to its accounts, if the budgets allow it (compare-and-set in a
NATS bucket); after it the estimate is replaced by what the call used. So a budget is passed at most
by what calls under way use beyond their estimates. A worker that dies leaves the estimate of its
call in the account: it may have been spent.
"""

from __future__ import annotations

import asyncio
import hashlib
import logging
import re
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from decimal import Decimal
from typing import Final

import msgspec
import nats.errors
from nats.js import JetStreamContext
from nats.js.api import KeyValueConfig
from nats.js.errors import (
    BucketNotFoundError,
    KeyDeletedError,
    KeyNotFoundError,
    KeyWrongLastSequenceError,
)
from nats.js.kv import KeyValue

from agentdash.worker.session import LimitReached, Retryable
from controller.model.decoding import UndecodableError, decoded
from controller.model.servers import Backoff

log = logging.getLogger(__name__)

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
        """Raises LimitReached if what is spent is above the limit, or would be with what the next
        call may use.
        """
        after = spent if more is None else spent + more
        if self.usd is not None and after.usd > self.usd:
            told = f"{self.subject} may cost {self.usd} USD: {spent.usd:.4f} are spent"
            ahead = (
                "" if more is None else f" or reserved, and the next call may cost {more.usd:.4f}"
            )
            raise LimitReached(told + ahead)
        if self.tokens is not None and after.tokens > self.tokens:
            told = f"{self.subject} may use {self.tokens:,} tokens: {spent.tokens:,} are used"
            ahead = (
                "" if more is None else f" or reserved, and the next call may use {more.tokens:,}"
            )
            raise LimitReached(told + ahead)


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
    """The accounts, in the bucket of a JetStream; the first use creates it.

    Methods raise Retryable if NATS does not answer: a budget that cannot be read allows nothing.
    """

    def __init__(self, stream: JetStreamContext) -> None:
        self._stream = stream
        self._bucket: KeyValue | None = None

    async def reserve(self, account: Account, amount: Spent) -> None:
        """Add the amount, or raise LimitReached if the account would pass its limit."""

        def added(spent: Spent) -> Spent:
            account.check(spent, amount)
            return spent + amount

        await self._change(account.key, added)

    async def settle(self, account: Account, reserved: Spent, used: Spent) -> None:
        """Replace a reserved amount by what was used."""
        difference = used - reserved
        if difference != Spent():
            await self.spend(account, difference)

    async def spend(self, account: Account, amount: Spent) -> Spent:
        """Add what was used already, also above the limit; returns what is spent now."""
        return await self._change(account.key, lambda spent: spent + amount)

    async def spent(self, account: Account) -> Spent:
        """What is spent or reserved now."""
        return (await self._read(account.key))[0]

    async def _change(self, key: str, changed: Callable[[Spent], Spent]) -> Spent:
        waits = Backoff(0.002, 0.1)
        for _ in range(TRIES):
            with _away(key):
                spent, revision = await self._read(key)
                after = changed(spent)
                try:
                    await (await self._open()).update(
                        key, msgspec.json.encode(after), last=revision
                    )
                except KeyWrongLastSequenceError:
                    pass  # another worker was faster: read what it has left
                else:
                    return after
            await asyncio.sleep(waits.next_s())
        raise Retryable(f"other workers changed {key} in {SPENDING_BUCKET} {TRIES} times meanwhile")

    async def _read(self, key: str) -> tuple[Spent, int]:
        """What is spent, and the revision of the value; nothing and 0 if there is none."""
        with _away(key):
            try:
                entry = await (await self._open()).get(key)
            except KeyDeletedError as deleted:
                return Spent(), deleted.entry.revision or 0
            except KeyNotFoundError:
                return Spent(), 0
            return decoded(_SPENT, entry.value or b"{}"), entry.revision or 0

    async def _open(self) -> KeyValue:
        if self._bucket is None:
            # not direct: a replica that is behind would let a budget be passed
            config = KeyValueConfig(SPENDING_BUCKET, ttl=SPENDING_KEPT_S, direct=False)
            try:
                self._bucket = await self._stream.key_value(SPENDING_BUCKET)
            except BucketNotFoundError:
                self._bucket = await self._stream.create_key_value(config)
        return self._bucket


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
