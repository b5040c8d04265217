"""Recorded ticks beside this file, and the plans that come of them.

To record them anew after an intended change of behaviour, from the root of the repository:

    PYTHONPATH=.:tests python -m golden.replay

`NAME.fleet.json` is a fleet, `NAME.ticks.jsonl` what was seen of it, `NAME.plans.jsonl` the plan of
each of these ticks. The difference between old plans and new ones is what changes for users: the
ticks stay as they are, and only a scene without any is played.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import msgspec

from controller.model.fleet import Fleet
from controller.model.intents import Intents
from controller.model.memory import Memory, Tick
from controller.record.ticks import decode_tick
from controller.report.plan import encode_report, plan_report, pool_report
from golden.scenes import Scene, scenes
from support.planning import plan
from support.ticks import encode_tick

FOLDER = Path(__file__).parent


def names() -> list[str]:
    return sorted(file.name.partition(".")[0] for file in FOLDER.glob("*.ticks.jsonl"))


def recorded(name: str) -> tuple[Fleet, list[Tick], list[str]]:
    """The fleet, the ticks and the plans as they are on disk."""
    fleet = msgspec.json.decode((FOLDER / f"{name}.fleet.json").read_bytes(), type=Fleet)
    lines = (FOLDER / f"{name}.ticks.jsonl").read_bytes().splitlines()
    ticks = [decode_tick(line, number) for number, line in enumerate(lines, start=1)]
    plans = (FOLDER / f"{name}.plans.jsonl").read_text("utf-8").splitlines()
    return fleet, ticks, plans


def replayed(fleet: Fleet, ticks: list[Tick]) -> Iterator[str]:
    """The plan of each tick as `agentdash plan --json` prints it; each remembers those before."""
    memory = Memory()
    for tick in ticks:
        memory = memory if tick.memory is None else tick.memory
        intents = tick.intents or Intents()
        decided, memory = plan(tick.observation, fleet, intents, memory, tick.now)
        pools = tuple(
            pool_report(pool, decided.decisions[pool.key], decided.at) for pool in fleet.pools
        )
        yield encode_report(plan_report(decided.at, pools))


def record(scene: Scene) -> None:
    """The fleet and the ticks of a scene."""
    fleet = msgspec.json.format(msgspec.json.encode(scene.fleet), indent=1)
    ticks = b"".join(encode_tick(tick) + b"\n" for tick in scene.ticks)
    (FOLDER / f"{scene.name}.fleet.json").write_bytes(fleet + b"\n")
    (FOLDER / f"{scene.name}.ticks.jsonl").write_bytes(ticks)
    (FOLDER / f"{scene.name}.plans.jsonl").touch()


def record_plans(name: str) -> None:
    """The plans of what is on disk."""
    fleet, ticks, _ = recorded(name)
    plans = "".join(f"{line}\n" for line in replayed(fleet, ticks))
    (FOLDER / f"{name}.plans.jsonl").write_text(plans, "utf-8")


if __name__ == "__main__":
    for each in scenes():
        if each.name not in names():
            record(each)
    for one in names():
        record_plans(one)
