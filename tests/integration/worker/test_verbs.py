"""The verbs about tasks, and a worker as a process of its own."""

from __future__ import annotations

import asyncio
import json
import signal
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import aiohttp
import pytest

from agentdash.worker import TaskResult, TaskStatus
from support.forked import agentdash
from tests.integration.worker.conftest import HIGH, QUEUE, Shop, worker_process
from tests.support.ports import free_port

FLEET = """\
version: 1
nats: {{servers: ['{url}']}}
tenants: {{acme: {{tier: growth}}}}
pools:
  - name: research
    tenant: acme
    queues:
      - {{stream: TASKS, consumer: acme-research-high}}
      - {{stream: TASKS, consumer: acme-research}}
    replicas: {{max: 4}}
"""
AGENTS = """\
from agentdash.worker import Fatal, Session, Task, UsedTokens


async def research(task: Task, session: Session) -> object:
    session.used(UsedTokens(input=3), model="small")
    session.tool_call("browser")
    if task.goal == "impossible":
        raise Fatal("it cannot be done")
    return {"answer": task.goal.upper()}


no_function = "agent"
"""


@pytest.fixture
def home(shop: Shop, tmp_path: Path) -> Path:
    (tmp_path / "fleet.yaml").write_text(FLEET.format(url=shop.url), "utf-8")
    (tmp_path / "agents.py").write_text(AGENTS, "utf-8")
    return tmp_path


@asynccontextmanager
async def worker(home: Path, shop: Shop, **more: str) -> AsyncIterator[None]:
    process = await worker_process(home, shop.url, "agents:research", **more)
    try:
        yield
    finally:
        if process.returncode is None:
            process.send_signal(signal.SIGTERM)
        async with asyncio.timeout(10):
            await process.communicate()
        assert process.returncode == 0


async def test_a_task_from_submit_to_result(home: Path, shop: Shop) -> None:
    async with worker(home, shop):
        code, out, _ = await agentdash(
            "submit", "acme/research", "count", "--wait", "--json", cwd=home
        )
        assert code == 0
        result = json.loads(out)
        assert (result["status"], result["result"]) == ("done", {"answer": "COUNT"})
        code, out, _ = await agentdash("result", "research", result["id"], cwd=home)
        assert (code, out.splitlines()[1]) == (0, '{"answer":"COUNT"}')


async def test_a_cancelled_task_is_never_begun(home: Path, shop: Shop) -> None:
    code, out, _ = await agentdash("submit", "acme/research", "count", "--id", "one", cwd=home)
    assert (code, out) == (0, "one\n")
    code, _, said = await agentdash("submit", "acme/research", "count", "--id", "one", cwd=home)
    assert code == 0
    assert "the same task" in said
    given = ("submit", "acme/research", "count", "--id", "one", "--json")
    code, out, said = await agentdash(*given, cwd=home)
    assert (code, json.loads(out)["is_new"]) == (0, False)
    assert "the same task" in said
    code, _, said = await agentdash("submit", "acme/research", "other", "--id", "one", cwd=home)
    assert code == 5
    assert "acme/research has a task one with another payload: nothing was added" in said
    _, out, _ = await agentdash("result", "acme/research", "one", "--json", cwd=home)
    assert json.loads(out) == {"id": "one", "status": "open"}
    code, out, _ = await agentdash("cancel", "acme/research", "one", "--why", "typo", cwd=home)
    assert (code, out) == (0, "one  cancelled\n")
    async with worker(home, shop):
        await shop.all_acknowledged()
    result = await shop.result("one")
    assert result.error.startswith("typo (")
    code, _, said = await agentdash("dead", "show", "acme/research", "one", cwd=home)
    assert code == 3
    assert "agentdash dead list acme/research" in said


async def test_a_task_that_did_not_end_as_done_is_exit_code_1(home: Path, shop: Shop) -> None:
    async with worker(home, shop):
        code, out, _ = await agentdash("submit", "acme/research", "impossible", "--wait", cwd=home)
        assert (code, out.split()[1]) == (1, "failed")
        code, _, _ = await agentdash("result", "acme/research", out.split()[0], cwd=home)
        assert code == 1
    for status in sorted({*TaskStatus} - {TaskStatus.DONE}):
        result = TaskResult(id=f"it-{status}", status=status, at=time.time())
        await shop.tasks.results.keep(result)
        for wait in ((), ("--wait",)):
            code, out, _ = await agentdash("result", "acme/research", result.id, *wait, cwd=home)
            assert (code, out.split()[1]) == (1, status)
        given = ("submit", "acme/research", "x", "--id", result.id, "--wait")
        code, _, said = await agentdash(*given, cwd=home)
        assert code == 1
        assert f"has ended before, as {status}: nothing was added" in said


@pytest.mark.parametrize("verb", ["result", "cancel"])
async def test_a_task_that_never_was_is_an_error(verb: str, home: Path, shop: Shop) -> None:
    await shop.submit(None, "one")
    code, out, said = await agentdash(verb, "acme/research", "two", cwd=home)
    assert (code, out) == (1, "")
    assert "acme/research has no task two" in said
    assert await shop.tasks.results.get("two") is None
    code, _, _ = await agentdash(verb, "acme/research", "one", cwd=home)
    assert code == 0


async def test_dead_letters_are_listed_shown_and_retried(home: Path, shop: Shop) -> None:
    async with worker(home, shop):
        await shop.link.jetstream.publish(
            "tasks.acme.research", b"\xff", headers={"Nats-Msg-Id": "bad"}
        )
        await shop.result("bad")
        await shop.all_acknowledged()
    await shop.link.jetstream.publish("agentdash.dead.acme.research.x", b"junk")
    code, out, said = await agentdash("dead", "list", "acme/research", cwd=home)
    assert code == 0
    assert "neither JSON nor text" in out
    assert "message 2 of AGENTDASH_DEAD (agentdash.dead.acme.research.x) is no dead letter" in said
    code, out, _ = await agentdash("dead", "show", "acme/research", "bad", cwd=home)
    assert code == 0
    assert "subject tasks.acme.research" in out
    assert "after 1 try, noted by " in out
    code, out, _ = await agentdash("dead", "retry", "acme/research", "bad", cwd=home)
    assert (code, out) == (0, "bad  published to tasks.acme.research again\n")
    code, out, _ = await agentdash("dead", "list", "acme/research", cwd=home)
    assert (code, out) == (0, "no dead letters\n")


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("submit", "acme/research", "x", "--id", "a b"), "a task's id is"),
        (("submit", "acme/research", "x", "--timeout", "soon"), "soon"),
        (("submit", "acme/research", "--payload", "{"), "--payload is not JSON"),
        (("submit", "acme/reserch", "x"), "research"),
        (("worker", "agents"), "is not MODULE:FUNCTION"),
        (("worker", "nothing:x"), "cannot be imported"),
        (("worker", "agents:none"), "has no none"),
        (("worker", "agents:no_function"), "is no function of a task"),
        (("worker", "agents:research"), "NATS_URL is not set"),
    ],
)
async def test_what_is_wrong_is_said(home: Path, arguments: tuple[str, ...], words: str) -> None:
    code, _, said = await agentdash(*arguments, cwd=home)
    assert code == 2
    assert words in said
    assert "Traceback" not in said


async def test_a_workers_metrics_and_health(home: Path, shop: Shop) -> None:
    port = free_port()
    async with worker(home, shop, AGENTDASH_LISTEN=f"127.0.0.1:{port}"):
        await shop.submit("count", "one")
        await shop.submit("impossible", "two", priority="high")
        await shop.result("one")
        await shop.all_acknowledged()  # a task is counted before that
        async with aiohttp.ClientSession(f"http://127.0.0.1:{port}") as client:
            for path in ("/healthz", "/readyz", "/startup"):
                async with client.get(path) as answer:
                    assert (path, answer.status) == (path, 200)
            async with client.get("/startup") as answer:
                assert (await answer.json())["started"] is True
            async with client.get("/metrics") as answer:
                text = await answer.text()
    for line in (
        'agent_tasks_total{priority="normal",role="research",status="done",tenant="acme"} 1.0',
        'agent_session_duration_seconds_count{role="research",tenant="acme"} 1.0',
        'agent_tokens_consumed_total{kind="input",model="small",role="research",tenant="acme"} 3.0',
        'agent_tool_calls_total{role="research",status="ok",tenant="acme",tool="browser"} 1.0',
    ):
        assert line in text


async def test_a_task_of_high_priority_goes_to_the_first_queue_and_others_to_the_last(
    home: Path, shop: Shop
) -> None:
    await agentdash("submit", "acme/research", "slow", "--id", "slow", cwd=home)
    await agentdash("submit", "acme/research", "fast", "--priority", "high", cwd=home)
    js = shop.link.jetstream
    assert [(await js.consumer_info(*queue)).num_pending for queue in (HIGH, QUEUE)] == [1, 1]
