"""Operators who pin, pause, freeze and withdraw at once on a real nats-server, against a dict."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import Coroutine
from pathlib import Path
from typing import Any

import hypothesis.strategies as st
import pytest
from hypothesis import HealthCheck, Phase, settings
from hypothesis.stateful import (
    RuleBasedStateMachine,
    invariant,
    rule,
    run_state_machine_as_test,
)

from controller.bus.intent_codec import Intent, Kind, Place, key_of, place_of
from controller.bus.intent_desk import IntentConflictError, IntentDesk
from controller.bus.intents import read_intents
from controller.bus.kv import KeyValue
from controller.bus.session import NatsSession
from controller.engine.clock import SystemClock
from controller.model.intents import Freeze, Intents, Pause, Pin, Scope
from controller.model.settings import NatsSettings
from tests.integration.nats.conftest import CALM
from tests.integration.nats.kept import Followed
from tests.support.examples import scaled
from tests.support.nats_server import RealNats

# few, so that they meet
PLACES = (
    Place(Kind.PIN, Scope(pool="acme/research")),
    Place(Kind.PAUSE, Scope(tenant="acme")),
    Place(Kind.FREEZE, Scope()),
)
WHO = st.sampled_from(["ann", "ben"])
PLACE = st.sampled_from(PLACES)


def intent(place: Place, number: int, who: str) -> Intent:
    match place.kind:
        case Kind.PIN:
            return Pin(pool=place.scope.pool or "", replicas=number, who=who)
        case Kind.PAUSE:
            return Pause(scope=place.scope, keep=number, who=who)
        case Kind.FREEZE:
            return Freeze(scope=place.scope, who=who, why=str(number))


class Operators(RuleBasedStateMachine):
    """Each operator knows what they last saw of a place, and may replace no other."""

    def __init__(self, url: str, name: str) -> None:
        super().__init__()
        self._runner = asyncio.Runner()
        self._stands: dict[Place, tuple[Intent, int]] = {}
        self._last: dict[Place, str] = {}
        self._seen: dict[tuple[str, Place], int] = {}
        self._runner.run(self._begin(url, name))

    async def _begin(self, url: str, name: str) -> None:
        self._session = NatsSession(NatsSettings(servers=(url,)), SystemClock(), pace=CALM)
        await self._session.start()
        while not self._session.connected:
            await asyncio.sleep(0.002)
        self._kv = KeyValue(self._session, name)
        self._desk = IntentDesk(self._kv)
        self._board = Followed(self._session, self._kv).board
        self._following = asyncio.create_task(self._board.run())

    @rule(who=WHO, place=PLACE)
    def looks(self, who: str, place: Place) -> None:
        stored = self._runner.run(self._desk.read(place.kind, place.scope))
        stands = self._stands.get(place)
        assert (stored and (stored.intent, stored.revision)) == stands
        if stored is None:
            self._seen.pop((who, place), None)
        else:
            self._seen[who, place] = stored.revision

    @rule(who=WHO, place=PLACE, number=st.integers(0, 3))
    def puts(self, who: str, place: Place, number: int) -> None:
        wanted, replaces = intent(place, number, who), self._seen.get((who, place))
        assert place_of(wanted) == place
        if replaces != self._revision(place):
            self._loses(place, self._desk.put(wanted, replaces=replaces))
            return
        revision = self._runner.run(self._desk.put(wanted, replaces=replaces))
        self._stands[place] = (wanted, revision)
        self._seen[who, place] = revision
        self._last[place] = who

    @rule(who=WHO, place=PLACE)
    def withdraws(self, who: str, place: Place) -> None:
        replaces = self._seen.get((who, place))
        if replaces is None:
            return
        withdrawal = self._desk.withdraw(place.kind, place.scope, replaces=replaces, who=who)
        if replaces != self._revision(place):
            self._loses(place, withdrawal)
            return
        self._runner.run(withdrawal)
        del self._stands[place]
        del self._seen[who, place]
        self._last[place] = who

    @rule()
    def the_connection_breaks(self) -> None:
        self._runner.run(self._break())

    async def _break(self) -> None:
        client = self._session._client
        assert client is not None
        await client.close()
        while self._session._client is client or not self._session.connected:
            await asyncio.sleep(0.002)

    def _revision(self, place: Place) -> int | None:
        stands = self._stands.get(place)
        return None if stands is None else stands[1]

    def _loses(self, place: Place, write: Coroutine[Any, Any, int]) -> None:
        """The loser is told who was faster, and what stands there now."""
        with pytest.raises(IntentConflictError) as caught:
            self._runner.run(write)
        stands = self._stands.get(place)
        assert caught.value.by == self._last[place]
        assert caught.value.intent == (None if stands is None else stands[0])

    def _expected(self) -> Intents:
        values = [self._stands[place][0] for place in sorted(self._stands, key=key_of)]
        return Intents(
            pins=tuple(each for each in values if isinstance(each, Pin)),
            pauses=tuple(each for each in values if isinstance(each, Pause)),
            freezes=tuple(each for each in values if isinstance(each, Freeze)),
        )

    @invariant()
    def what_stands_is_what_was_put(self) -> None:
        standing = self._runner.run(read_intents(self._kv))
        assert standing.intents == self._expected()
        assert standing.faults == ()

    def teardown(self) -> None:
        try:
            self._runner.run(self._followed())
        finally:
            self._runner.run(self._end())
            self._runner.close()

    async def _followed(self) -> None:
        """Who only follows comes to know the same."""
        async with asyncio.timeout(5.0):
            while self._board.standing().in_force() != self._expected():
                await asyncio.sleep(0.002)

    async def _end(self) -> None:
        self._following.cancel()
        await asyncio.wait({self._following})
        await self._session.stop()


def test_no_intent_is_lost_and_no_operator_undoes_another_unseen(directory: Path) -> None:
    names = (f"b{number}" for number in itertools.count())
    with RealNats(directory) as server:
        run_state_machine_as_test(
            lambda: Operators(server.url, next(names)),
            settings=settings(
                max_examples=scaled(15),
                stateful_step_count=30,
                deadline=None,
                phases=[Phase.generate],  # smaller ones would take minutes on a real server
                suppress_health_check=list(HealthCheck),
            ),
        )
