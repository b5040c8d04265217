"""The demo's world as a process of its own, which runs while its standard input is open.

It prints one line of JSON when it is ready, or why it cannot start, and one with its report at the
end.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import shutil
import signal
import sys
from pathlib import Path

import msgspec

from agentdash.demo.process import Failed, NatsServerError, Ready
from agentdash.demo.world import DemoWorld


async def keep(world: DemoWorld) -> None:
    """Run the world until standard input ends or SIGTERM comes."""
    loop = asyncio.get_running_loop()
    ended = asyncio.Event()
    loop.add_signal_handler(signal.SIGTERM, ended.set)
    # if the process that started us dies, the kernel closes our standard input
    loop.add_reader(sys.stdin.fileno(), _until_closed, ended)
    async with world.running():
        _say(
            Ready(
                fleet=str(world.fleet_path),
                kubeconfig=str(world.kubeconfig_path),
                nats_pid=world.nats.pid or 0,
                kubernetes_url=world.cluster.url,
            )
        )
        await ended.wait()
    _say(world.report)


def _until_closed(ended: asyncio.Event) -> None:
    if not os.read(sys.stdin.fileno(), 4096):
        asyncio.get_running_loop().remove_reader(sys.stdin.fileno())
        ended.set()


def _say(value: msgspec.Struct) -> None:
    try:
        sys.stdout.buffer.write(msgspec.json.encode(value) + b"\n")
        sys.stdout.buffer.flush()
    except BrokenPipeError:
        # nothing reads the report any more; end all the same
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def main() -> int:
    """Exit code 0 after an end that was asked for, 1 if it could not start."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("home", type=Path)
    parser.add_argument("--speed", type=float, default=1.0)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--load-for", type=float, default=None)
    options = parser.parse_args()
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    world = DemoWorld(
        options.home, speed=options.speed, seed=options.seed, load_for_s=options.load_for
    )
    try:
        asyncio.run(keep(world))
    except NatsServerError as error:
        _say(Failed(error=str(error)))
        return 1
    finally:
        shutil.rmtree(options.home, ignore_errors=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
