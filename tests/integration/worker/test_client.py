"""Tasks given and followed by a program."""

from __future__ import annotations

import asyncio
import importlib
import json
import re
import subprocess
import sys
import threading
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec
import pytest
from nats.js.errors import NotFoundError
from pydantic import BaseModel

from agentdash import client as client_module
from agentdash.client import (
    OtherPayloadError,
    TaskClient,
    TaskHandle,
    TaskNotDoneError,
    connect,
    connect_blocking,
)
from agentdash.worker import Event, Fatal, Session, Task, TaskResult, TaskStatus, takes
from agentdash.worker.session import TERMS_HEADER
from agentdash.worker.stores import EVENTS_STREAM
from controller.engine.supervise import FatalError
from tests.integration.worker.conftest import Busy, Shop, shop_at
from tests.integration.worker.test_verbs import FLEET
from tests.support.nats_server import RealNats

POOL = "acme/research"
POOLS = {POOL: ["TASKS/acme-research-high", "TASKS/acme-research"]}
PAGE = Path(__file__).parents[3] / "docs/pages/giving-tasks.md"


class Question(BaseModel):
    goal: str
    pages: int = 1


@dataclass
class Wanted:
    goal: str


class Answer(msgspec.Struct):
    text: str


@pytest.fixture
async def client(shop: Shop) -> AsyncIterator[TaskClient]:
    async with connect(nats=shop.url, pools=POOLS) as opened:
        yield opened


async def test_a_task_is_given_followed_and_its_result_is_of_its_type(
    shop: Shop, client: TaskClient
) -> None:
    goes_on = asyncio.Event()

    @takes(Question)
    async def agent(task: Task, session: Session) -> object:
        assert isinstance(task.payload, Question)
        for page in range(task.payload.pages):
            await session.emit(Answer(f"page {page + 1}"))
            await goes_on.wait()
        return Answer(task.payload.goal.upper())

    task = await client.submit(POOL, Question(goal="sum up", pages=2), gives=Answer)
    assert task.receipt is not None
    assert task.receipt.is_new
    assert await task.ended() is None
    events: list[Event] = []
    async with shop.worker(agent):
        async for event in task.events():
            events.append(event)
            goes_on.set()  # the first comes while the agent works
        assert await task.result() == Answer("SUM UP")
    assert [each.data for each in events] == [{"text": "page 1"}, {"text": "page 2"}]
    assert [each.number for each in events] == [1, 2]
    again = client.task(POOL, task.id)
    assert [each async for each in again.events()] == events, "also for those who come later"
    assert await again.result() == {"text": "SUM UP"}


async def test_events_of_a_task_that_is_done_again_have_another_run(
    shop: Shop, client: TaskClient
) -> None:
    async def agent(task: Task, session: Session) -> object:
        await shop.link.client.publish(f"agentdash.events.acme.research.{task.id}", b"junk")
        await session.emit(task.attempt)
        if task.attempt == 1:
            raise ConnectionError
        return "done"

    task = await client.submit(POOL, "x")
    async with shop.worker(agent):
        events = [each async for each in task.events()]
    assert [(each.number, each.data) for each in events] == [(1, 1), (1, 2)]
    assert len({each.run for each in events}) == 2


async def test_a_task_that_does_not_end_as_done_says_how(shop: Shop, client: TaskClient) -> None:
    async def agent(_: Task, __: Session) -> object:
        raise Fatal("it cannot be done")

    task = await client.submit(POOL, "x")
    with pytest.raises(TimeoutError):
        await task.end(timeout_s=0.01)
    async with shop.worker(agent):
        with pytest.raises(TaskNotDoneError, match="ended as failed: it cannot be done") as refused:
            await task.result()
    assert refused.value.end.attempts == 1
    busy = Busy()
    async with shop.worker(busy):
        running = await client.submit(POOL, "x")
        await busy.begun.wait()
        assert (await running.cancel("not needed")).status is TaskStatus.CANCELLED
        assert (await running.end()).error == "not needed"


@pytest.mark.parametrize("ended", [False, True])
async def test_another_payload_under_the_same_id_is_refused(
    ended: bool, shop: Shop, client: TaskClient
) -> None:
    given = {"goal": "sum up", "files": ["a"]}
    first = await client.submit(POOL, given, id="one")
    if ended:
        async with shop.worker():
            await first.result()
    same = await client.submit(POOL, dict(reversed(given.items())), id="one")
    assert same.receipt is None if ended else same.receipt and not same.receipt.is_new
    for other in ({**given, "files": ["b"]}, "sum up"):
        with pytest.raises(OtherPayloadError, match="has a task one with another payload"):
            await client.submit(POOL, other, id="one")
    stored = await shop.link.jetstream.stream_info("TASKS")
    assert stored.state.messages == (0 if ended else 1)


async def test_what_cannot_be_is_refused_before_it_is_published(
    shop: Shop, client: TaskClient
) -> None:
    refused: list[tuple[type[Exception], dict[str, Any]]] = [
        (ValueError, {"payload": {"goal": 7}, "takes": Question}),
        (ValueError, {"payload": {"gaol": "x"}, "takes": Wanted}),
        (ValueError, {"payload": "x", "takes": Answer}),
        (TypeError, {"payload": object()}),
        (ValueError, {"payload": "x", "id": "a b"}),
        (ValueError, {"payload": "x", "timeout_s": -1}),
        (ValueError, {"payload": "x", "timout_s": 1}),
        (ValueError, {"payload": "x", "pool": "acme/reserch"}),
    ]
    for error, given in refused:
        with pytest.raises(error):
            await client.submit(**{"pool": POOL, **given})
    assert (await shop.link.jetstream.stream_info("TASKS")).state.messages == 0
    await client.submit(POOL, Wanted("x"), takes=Wanted, priority="high", budget_usd=0.5)
    sent = await shop.link.jetstream.get_last_msg("TASKS", "tasks.acme.research-high")
    assert json.loads(sent.data or b"") == {"goal": "x"}
    assert json.loads((sent.headers or {})[TERMS_HEADER])["budget_usd"] == 0.5


async def test_an_agent_begins_no_task_whose_payload_is_not_what_it_takes(
    shop: Shop, client: TaskClient
) -> None:
    begun: list[Any] = []

    @takes(Wanted)
    async def agent(task: Task, _: Session) -> object:
        begun.append(task.payload)
        return None

    bad, good = await client.submit(POOL, {"gaol": "x"}), await client.submit(POOL, {"goal": "x"})
    async with shop.worker(agent):
        assert (await good.end()).status is TaskStatus.DONE
        dead = await bad.end()
    assert dead.status is TaskStatus.DEAD
    assert "the payload is no Wanted: Object missing required field `goal`" in dead.error
    assert begun == [Wanted("x")]


async def test_tasks_are_listed_by_scope_state_and_text(shop: Shop, client: TaskClient) -> None:
    for task in ("one", "two"):
        await client.submit(POOL, "x", id=task)
    await client.task(POOL, "one").cancel("typo")
    await shop.counted()

    async def found(*args: Any, **asked: Any) -> list[str]:
        return sorted(each.id for each in (await client.tasks(*args, **asked)).rows)

    assert await found() == await found("acme") == await found(POOL) == ["one", "two"]
    assert await found("globex") == []
    assert await found(POOL, ["waiting"]) == ["two"]
    assert await found(search="TYPO") == ["one"]


@pytest.mark.parametrize(
    "where",
    [
        {},
        {"nats": "nats://127.0.0.1:1"},
        {"nats": "nats://127.0.0.1:1", "pools": {"research": ["TASKS/research"]}},
        {"nats": "nats://127.0.0.1:1", "pools": {POOL: ["TASKS"]}},
    ],
)
def test_a_place_that_cannot_be_is_said_at_once(where: dict[str, Any]) -> None:
    words = r"name a fleet file|is not STREAM/CONSUMER"
    with pytest.raises(ValueError, match=words), connect_blocking(**where):
        raise AssertionError


def test_a_server_that_is_away_is_said_and_nothing_is_left() -> None:
    where: dict[str, Any] = {"nats": "nats://127.0.0.1:1", "pools": POOLS}
    with pytest.raises(FatalError, match="nats is"), connect_blocking(**where):
        raise AssertionError
    assert "agentdash client" not in {each.name for each in threading.enumerate()}


async def test_an_end_is_told_and_not_only_looked_for(
    shop: Shop, client: TaskClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    looked, ended, busy = 0, TaskHandle.ended, Busy()

    async def counted(self: TaskHandle[Any]) -> TaskResult | None:
        nonlocal looked
        looked += 1
        return await ended(self)

    monkeypatch.setattr(client_module, "LOOK_S", 60.0)
    monkeypatch.setattr(TaskHandle, "ended", counted)
    task = await client.submit(POOL, "x")
    async with shop.worker(busy):
        following = asyncio.create_task(task.end())
        while looked < 5:  # now it waits to be told
            await asyncio.sleep(0.005)
        busy.end.set()
        async with asyncio.timeout(20):
            assert (await following).result == 1


async def test_a_follower_hears_the_end_after_its_server_was_away(server: RealNats) -> None:
    busy = Busy()
    async with (
        shop_at(server.url) as shop,
        connect(nats=server.url, pools=POOLS) as client,
        shop.worker(busy),
    ):
        task = await client.submit(POOL, "x")
        following = asyncio.create_task(task.result())
        await busy.begun.wait()
        server.kill()
        server.start()
        busy.end.set()
        assert await following == 1


def test_nothing_is_awaited_of_the_blocking_client(tmp_path: Path, server: RealNats) -> None:
    (tmp_path / "fleet.yaml").write_text(FLEET.format(url=server.url), "utf-8")

    async def agent(task: Task, session: Session) -> object:
        await session.emit("begun")
        return task.payload

    async def working(done: asyncio.Event) -> None:
        async with shop_at(server.url) as shop, shop.worker(agent):
            ready.append(shop)
            await done.wait()

    ready: list[Shop] = []
    with asyncio.Runner() as runner:
        done, loop = asyncio.Event(), runner.get_loop()

        def follow() -> None:
            with connect_blocking(tmp_path / "fleet.yaml") as client:
                while not ready:
                    pass
                task = client.submit(POOL, "x", id="one")
                seen.extend(each.data for each in task.events())
                seen.extend((task.result(), task.end().status, task.ended() == task.end()))
                seen.append([each.id for each in client.tasks(search="one").rows])
                seen.append(client.task(POOL, "one").cancel().status)

        seen: list[Any] = []

        async def both() -> None:
            work = loop.create_task(working(done))
            await asyncio.to_thread(follow)
            done.set()
            await work

        runner.run(both())
    assert seen == ["begun", "x", "done", True, ["one"], "done"]


async def test_a_client_with_the_rights_of_the_page_lacks_none(tmp_path: Path) -> None:
    text = PAGE.read_text("utf-8").partition("A client's NATS user needs to publish to")[2]
    named = re.sub(r"(?<=INFO\.|.GET\.)STREAM", "TASKS", text).replace(".T.", ".acme.")
    publish, subscribe = (re.findall("`([^`]+)`", each) for each in named.split("subscribe"))
    assert (len(publish), len(subscribe)) == (7, 3), "the sentence has moved"
    allowed = json.dumps([*publish, "tasks.acme.>"]), json.dumps(subscribe)
    users = """accounts {{ A {{ jetstream: enabled, users: [ {{ user: owner, password: owner }}
      {{ user: web, password: web, permissions: {{
        publish: {{ allow: {} }}, subscribe: {{ allow: {} }} }} }} ] }} }}"""
    with RealNats(tmp_path / "nats", users.format(*allowed)) as server:
        where = server.url.removeprefix("nats://")

        async def agent(_: Task, session: Session) -> object:
            await session.emit("begun")
            return "done"

        async with (
            shop_at(f"nats://owner:owner@{where}") as shop,
            shop.worker(agent, shared=True),
            connect(nats=f"nats://web:web@{where}", pools=POOLS) as client,
        ):
            task = await client.submit(POOL, "x", id="one")
            assert [each.data async for each in task.events()] == ["begun"]
            assert await task.result() == "done"
            assert (await client.submit(POOL, "x", id="one")).receipt is None
            assert (await client.task(POOL, "two").cancel()).status is TaskStatus.CANCELLED


async def test_the_web_service_of_the_docs_shows_a_browser_the_progress(
    tmp_path: Path, shop: Shop, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("fastapi")
    shown = re.compile(r"^```python\n# (\w+\.py)\n(.*?)^```", re.DOTALL | re.MULTILINE)
    for name, text in shown.findall(PAGE.read_text("utf-8")):
        (tmp_path / name).write_text(text, "utf-8")
    (tmp_path / "fleet.yaml").write_text(FLEET.format(url=shop.url), "utf-8")
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(str(tmp_path))
    for name in ("agents", "service"):
        monkeypatch.delitem(sys.modules, name, raising=False)
    agents, service = (importlib.import_module(each) for each in ("agents", "service"))
    async with service.lifespan(service.app):
        assert b"EventSource" in await whole(service.app, "GET", "/")
        refused = await whole(service.app, "POST", "/tasks", {"pages": 2})
        assert b"Field required" in refused
        given = json.loads(await whole(service.app, "POST", "/tasks", {"goal": "go", "pages": 2}))
        answer = call(service.app, "GET", f"/tasks/{given['id']}/events")
        async with shop.worker(agents.research):
            lines = [each.decode() async for each in answer if each]
    end = {"status": "done", "result": {"answer": "GO"}, "error": ""}
    assert lines == [
        'data: {"page": 1, "of": 2}\n\n',
        'data: {"page": 2, "of": 2}\n\n',
        f"event: end\ndata: {json.dumps(end)}\n\n",
    ]


async def whole(app: Any, method: str, path: str, body: object = None) -> bytes:
    return b"".join([each async for each in call(app, method, path, body)])


async def call(app: Any, method: str, path: str, body: object = None) -> AsyncIterator[bytes]:
    """The parts of what an ASGI application answers, as they come."""
    parts: asyncio.Queue[dict[str, Any]] = asyncio.Queue()
    asked = [{"type": "http.request", "body": json.dumps(body).encode(), "more_body": False}]

    async def receive() -> dict[str, Any]:
        return asked.pop() if asked else await asyncio.get_running_loop().create_future()

    headers = [(b"content-type", b"application/json")]
    scope = {"type": "http", "asgi": {"version": "3.0"}, "http_version": "1.1", "method": method}
    scope |= {"path": path, "raw_path": path.encode(), "query_string": b"", "headers": headers}
    scope |= {"root_path": "", "scheme": "http", "client": None, "server": None}
    running = asyncio.create_task(app(scope, receive, parts.put))
    more = True
    while more:
        part = await parts.get()
        yield part.get("body", b"")
        more = part["type"] == "http.response.start" or part.get("more_body", False)
    await running


def test_a_client_loads_neither_kubernetes_nor_a_screen() -> None:
    code = "import sys, agentdash.client; print(*{each.partition('.')[0] for each in sys.modules})"
    loaded = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    )
    assert not {"kubernetes", "textual", "rich"} & {*loaded.stdout.split()}


async def test_events_are_bounded(shop: Shop, client: TaskClient) -> None:
    async def agent(_: Task, session: Session) -> object:
        for number in range(250):
            await session.emit(number)
        return None

    with pytest.raises(NotFoundError):
        await shop.link.jetstream.stream_info(EVENTS_STREAM)
    task = await client.submit(POOL, "x")
    async with shop.worker(agent):
        await task.end()
    numbers = [each.number async for each in task.events()]
    assert numbers == list(range(51, 251))
