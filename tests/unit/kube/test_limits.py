"""How much we ask of a server: pauses by lane, urgent writes first, every writer gets a turn."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from controller.kube.writes import WriteGate


@asynccontextmanager
async def running(gate: WriteGate) -> AsyncIterator[None]:
    task = asyncio.create_task(gate.run())
    try:
        yield
    finally:
        task.cancel()


async def rounds(number: int = 20) -> None:
    for _ in range(number):
        await asyncio.sleep(0)


async def test_a_burst_goes_through_and_then_the_rate_holds() -> None:
    gate = WriteGate(per_second=1.0, burst=5)
    async with running(gate):
        writers = [asyncio.create_task(gate.enter(urgent=False)) for _ in range(8)]
        await rounds()
        assert sum(writer.done() for writer in writers) == 5
        for writer in writers:
            writer.cancel()


async def test_urgent_writes_come_first_and_the_others_keep_their_order() -> None:
    gate = WriteGate(per_second=200.0, burst=1)
    order: list[str] = []

    async def write(name: str, *, urgent: bool) -> None:
        await gate.enter(urgent=urgent)
        order.append(name)

    async with running(gate), asyncio.TaskGroup() as group:
        # all of them ask before the next turn is due, however slow the machine is
        for name in ("first", "b1", "b2", "u1", "u2"):
            group.create_task(write(name, urgent=name.startswith("u")))
    assert order == ["first", "u1", "u2", "b1", "b2"]


async def test_a_cancelled_writer_gives_up_its_place() -> None:
    gate = WriteGate(per_second=100.0, burst=1)
    async with running(gate):
        await gate.enter(urgent=False)
        gone = [asyncio.create_task(gate.enter(urgent=True)) for _ in range(10)]
        left = asyncio.create_task(gate.enter(urgent=False))
        await rounds()
        for writer in gone:
            writer.cancel()
        async with asyncio.timeout(1.0):
            await left
