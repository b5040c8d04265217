"""What a controller and its operators have left in the bucket, read once and without a trace."""

from __future__ import annotations

import asyncio

from controller.bus.intents import read_intents
from controller.bus.kv import KeyValue
from controller.bus.memory import MemoryBucket
from controller.model.intents import Intents
from controller.model.kept import Remembered
from controller.model.value import Value
from controller.ports import StoreError


class Left(Value):
    """The memory that was saved last and the intents in force, and in words what could not be
    read of them.
    """

    remembered: Remembered | None = None
    memory_problem: str = ""
    intents: Intents = Intents()
    intent_problems: tuple[str, ...] = ()


async def read_left(kv: KeyValue, *, with_memory: bool, timeout_s: float) -> Left:
    """Read both, each within the time; never raises, never writes."""
    remembered, memory_problem = None, ""
    if with_memory:
        try:
            async with asyncio.timeout(timeout_s):
                remembered = await MemoryBucket(kv).load()
        except StoreError as error:
            memory_problem = str(error)
        except TimeoutError:
            memory_problem = f"no answer within {timeout_s:g} s"
    intents, problems = Intents(), tuple[str, ...]()
    try:
        async with asyncio.timeout(timeout_s):
            standing = await read_intents(kv)
        intents = standing.in_force()
        problems = tuple(f"{fault.key} {fault.text}" for fault in standing.faults)
    except StoreError as error:
        problems = (f"cannot be read ({error}), so none is planned with",)
    except TimeoutError:
        problems = (f"gave no answer within {timeout_s:g} s, so none is planned with",)
    return Left(
        remembered=remembered,
        memory_problem=memory_problem,
        intents=intents,
        intent_problems=problems,
    )
