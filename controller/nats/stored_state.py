"""Reads once, without writing, what a controller and its operators have stored in the bucket."""

from __future__ import annotations

import asyncio

from controller.model.intents import Intents
from controller.model.tick import SavedMemory
from controller.model.value import Value
from controller.nats.bucket import Bucket
from controller.nats.intents import read_intents
from controller.nats.memory import MemoryBucket
from controller.ports import StoreError


class StoredState(Value):
    """The memory that was saved last and the intents in force, and what could not be read of
    them.
    """

    saved_memory: SavedMemory | None = None
    memory_problem: str = ""
    intents: Intents = Intents()
    intent_problems: tuple[str, ...] = ()


async def read_stored_state(bucket: Bucket, *, with_memory: bool, timeout_s: float) -> StoredState:
    """Read both, each within the time. Never raises, never writes."""
    saved_memory, memory_problem = None, ""
    if with_memory:
        try:
            async with asyncio.timeout(timeout_s):
                saved_memory = await MemoryBucket(bucket).load()
        except StoreError as error:
            memory_problem = str(error)
        except TimeoutError:
            memory_problem = f"no answer within {timeout_s:g} s"
    intents, problems = Intents(), tuple[str, ...]()
    try:
        async with asyncio.timeout(timeout_s):
            stored = await read_intents(bucket)
        intents = stored.in_force()
        problems = tuple(f"{fault.key} {fault.text}" for fault in stored.faults)
    except StoreError as error:
        problems = (f"cannot be read ({error}), so the plan has none",)
    except TimeoutError:
        problems = (f"gave no answer within {timeout_s:g} s, so the plan has none",)
    return StoredState(
        saved_memory=saved_memory,
        memory_problem=memory_problem,
        intents=intents,
        intent_problems=problems,
    )
