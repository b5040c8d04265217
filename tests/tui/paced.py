"""A dashboard in a process of its own, whose feed takes its next step when a test says so."""

from __future__ import annotations

from pathlib import Path
from threading import Thread

from msgspec.structs import replace

from agentdash.tui.app import run_dashboard
from controller.model.ids import PoolKey
from controller.model.observation import QueueDepth
from controller.model.readings import Fresh
from controller.model.snapshot import PoolView, Snapshot
from tui import fleet_scenarios, operators, scenarios

CHANGED = 10


def fleet(sequence: int, *, changed: int = 0, at: float = scenarios.NOW - 0.4) -> Snapshot:
    """Fifty pools in all views. Of the first ones, a queue and its rates, or a tenant's tokens and
    a model's draws, change with the sequence.
    """
    snapshot = replace(
        fleet_scenarios.burst(sequence, at), pools=scenarios.many_pools(50, sequence, at=at).pools
    )
    pools = list(snapshot.pools)
    for place in range(changed):
        pools[place] = with_pending(pools[place], 100 + sequence)
    rates = [
        fleet_scenarios.rates(str(view.key), 10.0 + (sequence if index < changed else 0), 4.0)
        for index, view in enumerate(pools)
    ]
    moves = sequence if changed else 0
    tenants = tuple(
        replace(each, name=f"tenant-{index:03d}", usd_per_hour=10.0 + moves)
        for index, each in enumerate(fleet_scenarios.calm_tenants() * 4)
    )
    models = tuple(
        replace(
            fleet_scenarios.MODELS[2],
            key=f"model-{index}",
            draws=(fleet_scenarios.draw(str(pools[index].key), 10 + moves),),
        )
        for index in range(CHANGED)
    )
    return replace(
        snapshot, pools=tuple(pools), queues=tuple(rates), tenants=tenants, models=models
    )


def with_pending(view: PoolView, pending: int) -> PoolView:
    reading = view.observation.queue
    assert isinstance(reading, Fresh)
    depth: QueueDepth = replace(reading.value, pending=pending)
    seen = replace(view.observation, queue=replace(reading, value=depth))
    return replace(view, key=PoolKey(view.key), observation=seen)


def run(steps: str, *, changed: int, effect: str) -> int:
    """Run the dashboard in this terminal. For each line of the pipe `steps` a second goes by, and
    the next snapshot comes; `effect` is what a request of an operator would have.
    """
    clock, operator = scenarios.FixedClock(), operators.FakeOperator()
    operator.effect = getattr(operators, effect)
    operator.progress = operators.some_checks()
    feed = scenarios.FakeFeed(fleet(1, changed=changed))

    def follow() -> None:
        with Path(steps).open() as lines:
            for sequence, _ in enumerate(lines, 2):
                clock.now += 1
                feed.publish(fleet(sequence, changed=changed, at=clock.now - 0.4))

    return run_dashboard(
        feed,
        clock=clock,
        operator=operator,
        on_ready=Thread(target=follow, daemon=True).start,
        engine_error=lambda: None,
    )
