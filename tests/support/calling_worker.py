"""A worker process whose only task calls two models without end, and prints each answered call.

PROVIDER is the provider's URL; the calls begin BEGIN_AFTER seconds after the task.
"""

from __future__ import annotations

import asyncio
import os
import sys

import aiohttp

from agentdash.worker import Session, Task, UsedTokens, Worker

WORKER = os.environ.get("AGENTDASH_WORKER", "")


async def call(session: Session, http: aiohttp.ClientSession, model: str) -> None:
    url = f"{os.environ['PROVIDER']}/chat/completions"
    asked = {"model": model, "messages": [{"role": "user", "content": "go"}], "max_tokens": 1}
    while True:
        async with (
            session.models.call(model, input_tokens=10, output_tokens=1) as rated,
            http.post(url, json=asked) as response,
        ):
            if response.status == 429:
                rated.refused(float(response.headers["Retry-After-Ms"]) / 1000)
                continue
            rated.settle(UsedTokens(input=1, output=1))
        sys.stdout.write(f"{model} {WORKER}\n")
        sys.stdout.flush()


async def agent(_: Task, session: Session) -> object:
    await asyncio.sleep(float(os.environ["BEGIN_AFTER"]))
    async with aiohttp.ClientSession() as http, asyncio.TaskGroup() as group:
        for model in ("shared", "static"):
            group.create_task(call(session, http, model))
    return None


if __name__ == "__main__":
    Worker.from_env(agent).run()
