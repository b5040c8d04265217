"""People who ask for something at the product's own desk, and take it back later. What they ask for
is what the bucket says; who has been told of it is another matter.
"""

from __future__ import annotations

import asyncio
import json
import random
from collections.abc import Callable, Coroutine
from contextlib import suppress
from typing import Any, Final, NamedTuple

from controller.model.fleet import Pool
from controller.model.intents import Intent, IntentKind, Operator, Scope, StoredIntents
from controller.nats.bucket import BucketEntry
from controller.nats.desk import BucketDesk
from controller.ports import IntentConflictError, UndoRefusedError
from simulation.engine.kernel import Kernel, Machine
from simulation.engine.wire import RemoteBucket, Wire
from simulation.engine.work import Store
from support.world import START

_OF_ALL: Final = (IntentKind.FREEZE, IntentKind.PAUSE, IntentKind.NO_GROWTH)
_OF_A_POOL: Final = (IntentKind.CAP, IntentKind.PIN)
_TRIES: Final = 5


class Asked(NamedTuple):
    """What stands in the bucket at one key, read without the product's help."""

    kind: str
    names: tuple[str, ...]
    amount: int
    until: float | None
    at: float

    @classmethod
    def of(cls, entry: BucketEntry) -> Asked | None:
        """What this entry asks for; None where something was taken back."""
        if entry.deleted:
            return None
        _, kind, *names = entry.key.split(".")
        value = json.loads(entry.value)
        amount = next((value[each] for each in ("replicas", "keep") if value.get(each)), 0)
        return cls(kind, tuple(names), amount, value.get("until"), entry.at)

    def concerns(self, pool: Pool) -> bool:
        return (pool.tenant, pool.name)[: len(self.names)] == self.names


class Operators:
    """`begin` asks for what a fault says, and returns how it is taken back."""

    def __init__(self, kernel: Kernel, store: Store) -> None:
        machine = Machine(kernel, "ops")
        self._kernel = kernel
        self._machine = machine
        self._desk = BucketDesk(
            RemoteBucket(Wire(kernel, machine, "desk"), store),  # type: ignore[arg-type]
            Operator(who="ops"),
        )
        self._work: asyncio.Queue[Coroutine[Any, Any, None]] = asyncio.Queue()
        machine.start(self._main())

    def begin(
        self, pool: Pool, amount: float, seconds: float, *, steps: bool
    ) -> Callable[[], None]:
        """`steps`: the pool is one of which no more replicas are asked for than its steps allow."""
        chance = random.Random(amount)
        kind = chance.choice((*_OF_ALL, *_OF_A_POOL[: 1 if steps else 2]))
        scopes = [Scope(pool=pool.key), Scope(pool=pool.key), Scope(tenant=pool.tenant), Scope()]
        ends = chance.choice(("withdraw", "undo", "until", "more"))
        until = START + self._kernel.now + seconds if ends == "until" else None
        intent = Intent(
            kind=kind,
            scope=chance.choice(scopes) if kind in _OF_ALL else scopes[0],
            amount=chance.randrange(1, 3) if kind in _OF_A_POOL else None,
            until=until,
            why="seed",
        )
        asked: list[Any] = []
        self._later(self._put(intent, asked))
        if ends == "more":
            again = Intent(kind=kind, scope=intent.scope, amount=intent.amount, why="for longer")
            self._kernel.after(seconds / 2, lambda: self._later(self._put(again, asked)))
        return lambda: self._later(self._take_back(intent, asked if ends == "undo" else []))

    def take_back(self, stored: StoredIntents) -> None:
        """What a process says is in force, of a bucket that was deleted or restored."""
        for intent in stored.intents:
            self._later(self._take_back(intent, []))

    def _later(self, work: Coroutine[Any, Any, None]) -> None:
        self._machine.post(lambda: self._work.put_nowait(work))

    async def _main(self) -> None:
        while True:
            await (await self._work.get())

    async def _put(self, intent: Intent, asked: list[Any]) -> None:
        for _ in range(_TRIES):
            found = await self._desk.find(intent.key)
            with suppress(IntentConflictError, ValueError):
                revision = None if found is None else found.revision
                asked.append(await self._desk.put(intent, replaces=revision))
                return

    async def _take_back(self, intent: Intent, asked: list[Any]) -> None:
        """Undo the last change if it is known; what stands then is withdrawn."""
        for change in asked[-1:]:
            with suppress(UndoRefusedError, IntentConflictError):
                await self._desk.undo(change)
        for _ in range(_TRIES):
            found = await self._desk.find(intent.key)
            with suppress(IntentConflictError):
                revision = 0 if found is None else found.revision
                await self._desk.withdraw(intent.key, replaces=revision, why="over")
                return
