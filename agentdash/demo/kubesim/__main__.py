"""`python -m agentdash.demo.kubesim`: serve until interrupted; prints the URL as a JSON line."""

from __future__ import annotations

import argparse
import asyncio
import signal
import sys
from pathlib import Path

import msgspec

from agentdash.demo.kubesim.sim import KubeSim


async def _serve(arguments: argparse.Namespace) -> None:
    stopped = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, stopped.set)
    options = {
        key: value
        for key, value in vars(arguments).items()
        if value is not None and key != "kubeconfig"
    }
    async with KubeSim(**options) as sim:
        if arguments.kubeconfig is not None:
            sim.write_kubeconfig(arguments.kubeconfig)
        sys.stdout.write(msgspec.json.encode({"url": sim.url}).decode() + "\n")
        sys.stdout.flush()
        await stopped.wait()


def main() -> int:
    """Parse arguments and serve."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--port", type=int, default=0, help="0 takes a free one")
    parser.add_argument("--speed", type=float, default=1.0, help="divides the cluster's delays")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--nodes", type=int, default=3)
    parser.add_argument("--admin-token", help="the administrator's token")
    parser.add_argument("--refuse-anonymous", action="store_true", help="ask for a token")
    parser.add_argument("--kubeconfig", type=Path, help="write one to this file")
    parser.add_argument("--compact-every-s", type=float, help="forget history regularly")
    parser.add_argument("--first-version", type=int, help="begin counting versions here")
    parser.add_argument("--lenient-names", action="store_true", help="accept any text as a name")
    asyncio.run(_serve(parser.parse_args()))
    return 0


if __name__ == "__main__":
    sys.exit(main())
