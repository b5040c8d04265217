"""What the person at a dashboard is told of a pod's log, of the checks and of what follows for a
pool, and where not.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest
from msgspec.structs import replace

from agentdash.engine_operator import READ_ONLY, REPLAYED, EngineOperator
from agentdash.operate import NotDoneError
from controller.config import parse
from controller.engine.supervise import Hub
from controller.model.decision import Bound, Code
from controller.model.ids import PoolKey
from controller.model.intents import Operator
from controller.model.settings import KubernetesSettings
from controller.model.snapshot import Level, PodInFull, PodLog, Progress
from controller.planning.whatif import Counterfactual, NextChange, Outlook, Starting
from controller.ports import NoEffectError, OpenDesk, PodDesk, PodUnknownError
from support.live import fleet_text

ANN = Operator(who="ann@laptop", origin="192.0.2.7")


class GivenLogs:
    """One pod has a log."""

    async def look(self, namespace: str, pod: str) -> PodInFull:
        raise NotImplementedError

    async def tail(
        self, namespace: str, pod: str, container: str = "", *, previous: bool = False
    ) -> PodLog:
        del container, previous
        await asyncio.sleep(0)
        if (namespace, pod) != ("tenant-acme", "research-1"):
            raise PodUnknownError("the pod is not there any longer")
        return PodLog(lines=("hello",))


async def no_outlook(pool: PoolKey) -> Outlook:
    raise NoEffectError(f"the controller does not decide {pool}")


def at_the_desk(
    pods: PodDesk | None,
    off: str | None = None,
    look_ahead: Callable[[PoolKey], Awaitable[Outlook]] = no_outlook,
) -> EngineOperator:
    seat = EngineOperator(ANN, Hub(), off)
    seat.at_desk(OpenDesk(None, None, look_ahead, lambda: False, pods))  # type: ignore[arg-type]
    return seat


def log_of(pod: str) -> Callable[[PodDesk], Awaitable[PodLog]]:
    return lambda pods: pods.tail("tenant-acme", pod)


async def test_an_attached_dashboard_names_the_command_that_shows_the_log() -> None:
    with pytest.raises(NotDoneError, match="kubectl logs research-1 shows it"):
        await at_the_desk(None).of_pods(log_of("research-1"), "kubectl logs research-1")


async def test_a_log_may_be_read_where_nothing_may_be_changed() -> None:
    seat = at_the_desk(GivenLogs(), READ_ONLY)
    assert (await seat.of_pods(log_of("research-1"), "")).lines == ("hello",)
    with pytest.raises(NotDoneError, match="not there any longer"):
        await seat.of_pods(log_of("gone"), "")


async def test_the_checks_run_beside_the_dashboard_and_tell_how_far_they_are(
    tmp_path: Path,
) -> None:
    text = fleet_text("nats://127.0.0.1:1", ["research"])
    kubernetes = KubernetesSettings(kubeconfig=str(tmp_path / "none"))
    settings = replace(parse(text, "fleet.yaml"), kubernetes=kubernetes)
    here, seen, threads = threading.current_thread(), list[Progress](), list[object]()

    def told(progress: Progress) -> None:
        threads.append(threading.current_thread())
        seen.append(progress)

    report = await EngineOperator(ANN, Hub(), READ_ONLY, settings).examine(told)
    assert [each.ended for each in seen] == list(range(seen[0].checks + 1))
    assert set(seen[-1].lines) == set(report.lines)
    assert {line.level for line in report.lines if line.check in {"nats", "kubernetes"}} == {
        Level.FAIL
    }
    assert set(threads) == {here}


@pytest.mark.parametrize(
    ("off", "words"), [(None, "no fleet file; run agentdash doctor -f"), (REPLAYED, "a journal")]
)
async def test_without_a_fleet_file_nothing_is_checked(off: str | None, words: str) -> None:
    with pytest.raises(NotDoneError, match=words):
        await EngineOperator(ANN, Hub(), off).examine(lambda _: None)


async def test_what_follows_for_a_pool_is_told_in_words() -> None:
    async def look_ahead(pool: PoolKey) -> Outlook:
        assert pool == "acme/research"
        await asyncio.sleep(0)
        without = Counterfactual(lifted=Bound.BUDGET, target=6, next=6, bound=Bound.MAX)
        change = NextChange(at=42.0, before=3, after=1, ends=Code.STABILIZED_DOWN)
        return Outlook(now=0.0, without=(without,), next=change)

    ahead = await at_the_desk(None, READ_ONLY, look_ahead).look_ahead("acme/research")
    assert ahead.without == ("without the budget: 6 (bound by max)",)
    assert (ahead.change, ahead.at) == ("3 → 1", 42.0)
    assert ahead.because == "stabilised downwards"


@pytest.mark.parametrize(
    ("starting", "words"),
    [
        (None, ""),
        (
            Starting(replicas=1, ready_s=9.0),
            "1 replica is not ready yet; its start takes about 9 s",
        ),
        (
            Starting(replicas=3, ready_s=27.0, one_by_one=True),
            "3 replicas are not ready yet; they start one after the other, which takes about 27 s",
        ),
        (
            Starting(replicas=3, ready_s=9.0),
            "3 replicas are not ready yet; they start at the same time, which takes about 9 s",
        ),
    ],
)
async def test_when_starting_replicas_are_ready_is_told_in_words(
    starting: Starting | None, words: str
) -> None:
    async def look_ahead(_: PoolKey) -> Outlook:
        await asyncio.sleep(0)
        return Outlook(now=0.0, without=(), starting=starting)

    ahead = await at_the_desk(None, READ_ONLY, look_ahead).look_ahead("acme/research")
    assert ahead.starting == words


async def test_a_pool_that_is_not_decided_has_no_prospect_and_the_reason_is_told() -> None:
    with pytest.raises(NotDoneError, match="does not decide acme/gone"):
        await at_the_desk(None).look_ahead("acme/gone")
