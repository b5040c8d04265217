"""What goes wrong in the demo, once a minute: a node is taken away, and another application uses up
the limit of a model.
"""

from __future__ import annotations

import asyncio
from contextlib import suppress
from typing import Any, Final

from openai import AsyncOpenAI, OpenAIError

from agentdash.demo.agents import MEDIUM
from agentdash.demo.cluster import SimCluster
from agentdash.demo.crew import DemoCrew
from agentdash.demo.load import CYCLE_S

BURST_S: Final = 8.0
"""The second of a cycle at which most tasks come at once, see LOADS."""
STARTED_S: Final = 12.0
"""Simulated seconds after which most of the pods for them are ready."""
ENDS: Final = "cloud.google.com/impending-node-termination"
"""The taint by which GKE says that a machine is preempted."""
NOTICE_S: Final = 25.0
"""Seconds from the taint to the machine's end, if workers are at work there so long: the controller
sees it and orders them to hand their tasks back. Its time is no faster than ours.
"""
WITHOUT_NODE_S: Final = 15.0
"""Simulated seconds for which the node takes no pods."""
RIVAL_FOR_S: Final = 8.0
RIVAL_BURST: Final = 10
RIVAL_CALLS_PER_S: Final = 3.0
"""More than the limit of the model. Times are in simulated seconds."""
_MESSAGES: Final[Any] = [{"role": "user", "content": "of another application"}]


async def run_incidents(
    sim: SimCluster, crew: DemoCrew, client: AsyncOpenAI, called: asyncio.Event, *, speed: float
) -> None:
    """Run them until cancelled. `called` is set by each call of the fleet to the medium model."""
    async with asyncio.TaskGroup() as tasks:
        tasks.create_task(_take_nodes_away(sim, crew, speed))
        tasks.create_task(_rival(client, called, speed))


async def _take_nodes_away(sim: SimCluster, crew: DemoCrew, speed: float) -> None:
    """The busiest node, as a provider does with spot machines: it is tainted, and once its
    workers have handed back, or when the notice is over, it is drained, and gone for a while.
    """
    loop = asyncio.get_running_loop()
    due = loop.time() + BURST_S + STARTED_S / speed
    while True:
        await asyncio.sleep(due - loop.time())
        node = await crew.busiest_node()
        crew.take_away(sim.pods_on(node))
        sim.taint_node(node, ENDS)
        with suppress(TimeoutError):
            async with asyncio.timeout(NOTICE_S):
                await crew.left(node)
        sim.cordon_node(node)
        crew.gone(sim.evict_pods(node))
        await asyncio.sleep(WITHOUT_NODE_S / speed)
        sim.taint_node(node, ENDS, tainted=False)
        sim.cordon_node(node, cordoned=False)
        due += CYCLE_S


async def _rival(client: AsyncOpenAI, called: asyncio.Event, speed: float) -> None:
    """Another application with the same key: it calls when the fleet does."""
    loop = asyncio.get_running_loop()
    due = loop.time()
    while True:
        await asyncio.sleep(due - loop.time())
        called.clear()
        await called.wait()
        ends_at = loop.time() + RIVAL_FOR_S / speed
        async with asyncio.TaskGroup() as calls:
            for _ in range(RIVAL_BURST):
                calls.create_task(_call(client))
            while loop.time() < ends_at:
                calls.create_task(_call(client))
                await asyncio.sleep(1 / RIVAL_CALLS_PER_S / speed)
        due += CYCLE_S


async def _call(client: AsyncOpenAI) -> None:
    try:
        await client.chat.completions.create(
            model=MEDIUM, messages=_MESSAGES, max_completion_tokens=1
        )
    except OpenAIError:
        return  # refused, or the demo ends: this application does not try again
