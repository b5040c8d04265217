"""The dashboard's speed and the bytes it writes, beside a minimal Textual app in the same run.

`python tests/benchmarks/bench_dashboard.py`, or `pytest -m benchmark tests/benchmarks`.
"""

from __future__ import annotations

import os
import statistics
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parents[1]))

from msgspec.structs import replace

from agentdash.tui.view import pool_rows, totals
from support.measure import at, processor_s
from tui import scenarios
from tui.terminal import Terminal, terminal

WIDE = (160, 45)
ROUNDS = 7
KEYS = 120
SECONDS = 10

BARE = """
from textual.app import App
from textual.widgets import Static

class Bare(App):
    def compose(self):
        yield Static("MARK 0", id="mark")

    def on_key(self, event):
        self.query_one("#mark").update(f"MARK {event.key}")

Bare().run()
"""
DASHBOARD = """
import threading, time
from msgspec.structs import replace
from agentdash.tui.app import run_dashboard
from tui import scenarios

first = scenarios.many_pools({pools}, 1, changed={changed}, at=time.time())
feed = scenarios.FakeFeed(first)

def publish():
    for sequence in range(2, 1000):
        time.sleep(1)
        now = time.time()
        later = scenarios.many_pools({changed}, sequence, changed={changed}, at=now).pools
        pools = later + first.pools[{changed}:]
        feed.publish(replace(first, sequence=sequence, at=now, pools=pools))

def start():
    if {live}:
        threading.Thread(target=publish, daemon=True).start()

run_dashboard(feed, clock=time.time, on_ready=start, engine_error=lambda: None)
"""


def dashboard(pools: int, *, changed: int = 0, live: bool = False) -> str:
    return DASHBOARD.format(pools=pools, changed=changed, live=live)


def first_paint(program: str, mark: bytes) -> float:
    """Median seconds from the start of the process to its first text, of several."""
    found = []
    for _ in range(ROUNDS):
        began = time.perf_counter()
        with terminal(program, size=WIDE) as seen:
            seen.read_until(lambda output: mark in output)
            found.append(time.perf_counter() - began)
    return statistics.median(found)


def key_to_paint(seen: Terminal, keys: Iterator[bytes]) -> list[float]:
    """Seconds from each key to the first byte that answers it."""
    found = []
    for _ in range(KEYS):
        drain(seen, 0.15)
        length = len(seen.output)
        began = time.perf_counter()
        seen.type(next(keys))
        seen.read_until(lambda output, length=length: len(output) > length)
        found.append(time.perf_counter() - began)
    return found


def drain(seen: Terminal, seconds: float) -> int:
    """Read for so long; returns how many bytes came."""
    length, end = len(seen.output), time.monotonic() + seconds
    seen.read_until(lambda _: time.monotonic() >= end or not waiting(seen, end))
    return len(seen.output) - length


def waiting(seen: Terminal, end: float) -> bool:
    import select

    left = max(end - time.monotonic(), 0)
    return bool(select.select([seen.master], [], [], left)[0])


def bytes_per_second(program: str) -> float:
    """Bytes in ten seconds of a live fleet, by the second."""
    with terminal(program, size=WIDE) as seen:
        seen.read_until(lambda output: b"agent-0" in output)
        seen.type(b"\r")
        drain(seen, 2.0)
        return drain(seen, SECONDS) / SECONDS


def processor_share(program: str) -> float:
    """Processor seconds a second of a live fleet in the table of pools."""
    with terminal(program, size=WIDE) as seen:
        seen.read_until(lambda output: b"agent-0" in output)
        seen.type(b"\r")
        drain(seen, 2.0)
        before = processor_s(seen.process.pid)
        drain(seen, SECONDS)
        return (processor_s(seen.process.pid) - before) / SECONDS


def rows_ms(pools: int, changed: int) -> tuple[float, float]:
    """Milliseconds of processor time for the rows and totals of a snapshot, the least of several:
    with the rows of the snapshot before, and without them.
    """
    before = scenarios.many_pools(pools, 1)
    later = scenarios.many_pools(changed, 2, changed=changed)
    after = replace(before, sequence=2, pools=later.pools + before.pools[changed:])
    shown = pool_rows(before)
    sums = totals(shown)

    def with_rows_before() -> None:
        totals(pool_rows(after, shown), shown, sums)

    def without() -> None:
        totals(pool_rows(after))

    return least_ms(with_rows_before), least_ms(without)


def least_ms(run: Callable[[], None]) -> float:
    found = []
    for _ in range(ROUNDS):
        began = time.process_time()
        run()
        found.append(time.process_time() - began)
    return min(found) * 1000


def alternating(*keys: bytes) -> Iterator[bytes]:
    while True:
        yield from keys


def say(what: str, figure: str, target: str = "", bound: str = "") -> None:
    wanted = f"target {target}" if target else ""
    load = f"load {os.getloadavg()[0]:.1f}"
    sys.stdout.write(f"{what:<44} {figure:>34}   {wanted:<26} {bound:<32} {load}\n")
    sys.stdout.flush()


def say_first_paints() -> dict[str, float]:
    """How long a person waits for the first screen of a small and of a large fleet."""
    bare = first_paint(BARE, b"MARK 0")
    found = {}
    for pools in (10, 1_000):
        found[f"first_paint_{pools}_s"] = ours = first_paint(dashboard(pools), b"agent-0")
        bound = f"bare Textual {bare:.2f} s"
        say(f"first paint, {pools:,} pools", f"{ours:.2f} s", "<= 0.5 s", bound)
    return found


def say_keys() -> dict[str, float]:
    """How long a key takes while 50 of 1,000 pools change each second."""
    with terminal(BARE, size=WIDE) as seen:
        seen.read_until(lambda output: b"MARK 0" in output)
        bare = key_to_paint(seen, alternating(b"j", b"k"))
    with terminal(dashboard(1000, changed=50, live=True), size=WIDE) as seen:
        seen.read_until(lambda output: b"agent-0" in output)
        keys = key_to_paint(seen, alternating(b"j", b"k"))
        pages = key_to_paint(seen, alternating(b"\x06", b"\x02"))
    for what, found in (("key", keys), ("page", pages)):
        p50, p95 = (at(found, share) * 1000 for share in (0.5, 0.95))
        figure = f"p50 {p50:.1f} ms, p95 {p95:.1f}, max {max(found) * 1000:.1f}"
        bound = f"bare Textual p95 {at(bare, 0.95) * 1000:.1f} ms"
        say(f"{what} to paint, 1,000 pools, 1 s feed", figure, "p50 <= 9 ms, p95 <= 14", bound)
    return {"key_p95_s": at(keys, 0.95), "page_p95_s": at(pages, 0.95)}


def say_processor() -> dict[str, float]:
    """What the dashboard costs while it is watched."""
    found = {}
    for pools in (50, 1_000, 5_000):
        found[f"cpu_{pools}"] = share = processor_share(dashboard(pools, changed=10, live=True))
        say(f"CPU a second, {pools:,} pools, 10 changing", f"{share * 1000:.0f} ms")
    return found


def measure() -> dict[str, float]:
    """Every figure once, printed beside its target, its bound and the machine's load."""
    found = {**say_first_paints(), **say_keys(), **say_processor()}
    idle = bytes_per_second(dashboard(50, live=True))
    say("idle, a snapshot a second", f"{idle:.0f} B/s", "<= 1 kB/s")
    ten = bytes_per_second(dashboard(50, changed=10, live=True))
    say("10 rows changing each second", f"{ten:.0f} B/s", "<= 10 kB/s")
    fifty = bytes_per_second(dashboard(50, changed=50, live=True))
    say("50 rows changing each second", f"{fifty:.0f} B/s", "<= 10 kB/s")
    for pools in (1_000, 10_000):
        for changed in (0, pools // 100, pools):
            kept, built = rows_ms(pools, changed)
            what = f"rows, {pools:,} pools, {changed:,} changed"
            say(what, f"{kept:.1f} ms", bound=f"all rows new {built:.1f} ms")
    return {**found, "idle": idle, "ten": ten, "fifty": fifty}


Measure = Callable[[], dict[str, float]]


@pytest.mark.benchmark
@pytest.mark.timeout(300)
def test_the_dashboards_figures() -> None:
    """Prints; a wall clock on a shared machine is no gate."""
    assert measure()


if __name__ == "__main__":
    measure()
