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

from controller.engine.supervise import SystemClock
from controller.model.intents import Intent, IntentKey, IntentKind, Intents, Scope
from controller.model.settings import NatsSettings
from controller.nats.bucket import Bucket
from controller.nats.intents import key_text, read_intents
from controller.nats.session import NatsSession
from controller.ports import IntentConflictError
from support.asked import a_budget, a_cap, a_freeze, a_pause, a_pin, no_growth_of
from tests.integration.nats.conftest import CALM
from tests.integration.nats.kept import Followed
from tests.support.examples import scaled
from tests.support.intent_desk import IntentDesk
from tests.support.nats_server import RealNats

# few, so that they meet
KEYS = (
    IntentKey(IntentKind.PIN, Scope(pool="acme/research")),
    IntentKey(IntentKind.PAUSE, Scope(tenant="acme")),
    IntentKey(IntentKind.FREEZE, Scope()),
    IntentKey(IntentKind.CAP, Scope(pool="acme/research")),
    IntentKey(IntentKind.BUDGET, Scope(tenant="acme")),
)
WHO = st.sampled_from(["ann", "ben"])
KEY = st.sampled_from(KEYS)


def intent(key: IntentKey, number: int, who: str) -> Intent:
    match key.kind:
        case IntentKind.PIN:
            return a_pin(pool=key.scope.pool or "", replicas=number, who=who)
        case IntentKind.PAUSE:
            return a_pause(scope=key.scope, keep=number, who=who)
        case IntentKind.FREEZE:
            return a_freeze(scope=key.scope, who=who, why=str(number))
        case IntentKind.CAP:
            return a_cap(pool=key.scope.pool or "", replicas=number, who=who)
        case IntentKind.NO_GROWTH:
            return no_growth_of(scope=key.scope, who=who)
        case IntentKind.BUDGET:
            return a_budget(tenant=key.scope.tenant or "", tokens=number, who=who)


class Operators(RuleBasedStateMachine):
    """Each operator knows what they last saw of a key, and may replace no other."""

    def __init__(self, url: str, name: str) -> None:
        super().__init__()
        self._runner = asyncio.Runner()
        self._stored: dict[IntentKey, tuple[Intent, int]] = {}
        self._last: dict[IntentKey, str] = {}
        self._seen: dict[tuple[str, IntentKey], int] = {}
        self._runner.run(self._begin(url, name))

    async def _begin(self, url: str, name: str) -> None:
        self._session = NatsSession(NatsSettings(servers=(url,)), SystemClock(), timing=CALM)
        await self._session.__aenter__()
        while not self._session.connected:
            await asyncio.sleep(0.002)
        self._kv = Bucket(self._session, name)
        self._desk = IntentDesk(self._kv)
        self._board = Followed(self._session, self._kv).board
        self._following = asyncio.create_task(self._board.run())

    @rule(who=WHO, key=KEY)
    def looks(self, who: str, key: IntentKey) -> None:
        read = self._runner.run(self._desk.read(key.kind, key.scope))
        assert (read and (read.intent, read.revision)) == self._stored.get(key)
        if read is None:
            self._seen.pop((who, key), None)
        else:
            self._seen[who, key] = read.revision

    @rule(who=WHO, key=KEY, number=st.integers(0, 3))
    def puts(self, who: str, key: IntentKey, number: int) -> None:
        wanted, replaces = intent(key, number, who), self._seen.get((who, key))
        assert wanted.key == key
        if replaces != self._revision(key):
            self._loses(key, self._desk.put(wanted, replaces=replaces))
            return
        revision = self._runner.run(self._desk.put(wanted, replaces=replaces))
        self._stored[key] = (wanted, revision)
        self._seen[who, key] = revision
        self._last[key] = who

    @rule(who=WHO, key=KEY)
    def withdraws(self, who: str, key: IntentKey) -> None:
        replaces = self._seen.get((who, key))
        if replaces is None:
            return
        withdrawal = self._desk.withdraw(key.kind, key.scope, replaces=replaces, who=who)
        if replaces != self._revision(key):
            self._loses(key, withdrawal)
            return
        self._runner.run(withdrawal)
        del self._stored[key]
        del self._seen[who, key]
        self._last[key] = who

    @rule()
    def the_connection_breaks(self) -> None:
        self._runner.run(self._break())

    async def _break(self) -> None:
        client = self._session._client
        assert client is not None
        await client.close()
        while self._session._client is client or not self._session.connected:
            await asyncio.sleep(0.002)

    def _revision(self, key: IntentKey) -> int | None:
        stored = self._stored.get(key)
        return None if stored is None else stored[1]

    def _loses(self, key: IntentKey, write: Coroutine[Any, Any, int]) -> None:
        """The loser is told who was faster, and what is stored now."""
        with pytest.raises(IntentConflictError) as caught:
            self._runner.run(write)
        stored = self._stored.get(key)
        assert self._last[key] in str(caught.value)
        standing = caught.value.standing
        assert (standing and standing.intent) == (None if stored is None else stored[0])

    def _expected(self) -> Intents:
        kinds = list(IntentKind)
        keys = sorted(self._stored, key=lambda key: (kinds.index(key.kind), key_text(key)))
        return Intents(asked=tuple(self._stored[key][0] for key in keys))

    @invariant()
    def stored_intents_are_those_that_were_put(self) -> None:
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
        """A bucket that is only followed comes to the same intents."""
        async with asyncio.timeout(5.0):
            while self._board.stored().in_force() != self._expected():
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
                max_examples=scaled(6),
                stateful_step_count=30,
                deadline=None,
                phases=[Phase.generate],  # smaller ones would take minutes on a real server
                suppress_health_check=list(HealthCheck),
            ),
        )
