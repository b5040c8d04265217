"""Tasks in one process, and the one that must be alone there."""

from __future__ import annotations

import asyncio

import pytest

from agentdash.worker.attempts import Tried
from agentdash.worker.delivery import TaskRoom
from support.virtual_loop import run


class Guests:
    """Tasks in a room: who is inside, in the order of their coming."""

    def __init__(self, group: asyncio.TaskGroup) -> None:
        self.room = TaskRoom()
        self.inside: list[str] = []
        self.refused: list[str] = []
        self._group = group
        self._ends: dict[str, asyncio.Event] = {}

    async def comes(self, name: str, *, alone: bool = False) -> None:
        self._ends[name] = asyncio.Event()
        self._group.create_task(self._stay(name, alone=alone))
        await asyncio.sleep(1)

    async def goes(self, name: str) -> None:
        self._ends[name].set()
        await asyncio.sleep(1)

    def seen(self) -> tuple[list[str], list[str], bool]:
        """Who is inside, who was refused, and whether one has the room to itself."""
        return list(self.inside), list(self.refused), self.room.is_kept

    def all_go(self) -> None:
        for end in self._ends.values():
            end.set()

    async def _stay(self, name: str, *, alone: bool) -> None:
        async with self.room.seat(alone=alone) as is_seated:
            if not is_seated:
                self.refused.append(name)
                return
            self.inside.append(name)
            await self._ends[name].wait()
            self.inside.remove(name)


def test_one_that_must_be_alone_waits_and_nobody_comes_in_meanwhile() -> None:
    async def history() -> list[tuple[list[str], list[str], bool]]:
        async with asyncio.TaskGroup() as group:
            guests = Guests(group)
            await guests.comes("a")
            await guests.comes("b")
            await guests.comes("suspect", alone=True)
            await guests.comes("c")
            await guests.comes("second suspect", alone=True)
            seen = [guests.seen()]
            await guests.goes("a")
            seen.append(guests.seen())
            await guests.goes("b")
            seen.append(guests.seen())
            await guests.comes("d")
            await guests.goes("suspect")
            await guests.comes("e")
            seen.append(guests.seen())
            guests.all_go()
        return seen

    refused = ["c", "second suspect"]
    assert run(history()) == [
        (["a", "b"], refused, True),
        (["b"], refused, True),
        (["suspect"], refused, True),
        (["e"], [*refused, "d"], False),
    ]


def test_one_that_waits_to_be_alone_is_turned_away() -> None:
    async def history() -> tuple[list[str], list[str], bool]:
        async with asyncio.TaskGroup() as group:
            guests = Guests(group)
            await guests.comes("a")
            await guests.comes("suspect", alone=True)
            guests.room.turn_away()
            await asyncio.sleep(1)
            await guests.comes("b")
            seen = guests.seen()
            guests.all_go()
        return seen

    assert run(history()) == (["a", "b"], ["suspect"], False)


@pytest.mark.parametrize(
    ("tried", "words"),
    [
        (Tried(begun=5), "began 5 times and no worker lived to end it"),
        (Tried(begun=1), "began once and no worker lived to end it"),
        (
            Tried(begun=5, failed=1),
            "began 5 times: 4 times no worker lived to end it, and once it failed",
        ),
        (Tried(begun=3, failed=3), "3 tries failed"),
    ],
)
def test_why_there_is_no_further_try_is_said_in_words(tried: Tried, words: str) -> None:
    assert tried.words() == words
