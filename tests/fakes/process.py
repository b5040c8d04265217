"""The simulated API as a process of its own, for benchmarks: prints its URL as a JSON line.

GET of /_sim/writes counts the writes so far, apart from those of Leases; DELETE forgets them.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import signal
from pathlib import Path

from aiohttp import web

from agentdash.demo.cluster.api import Call, answer
from fakes.cluster import SimCluster


async def serve(kubeconfig: Path, speed: float) -> None:
    """Serve until SIGTERM comes."""
    stopped = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stopped.set)
    async with SimCluster(speed=speed) as sim:

        def writes(call: Call) -> web.Response | None:
            if call.path != "/_sim/writes":
                return None
            if call.method == "DELETE":
                sim.requests.clear()
            found = [each for each in sim.requests.writes() if each.resource not in {"", "leases"}]
            return answer(200, {"writes": len(found)})

        sim.extensions.append(writes)
        sim.write_kubeconfig(kubeconfig)
        print(json.dumps({"url": sim.url}), flush=True)
        await stopped.wait()


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--kubeconfig", type=Path, required=True)
    parser.add_argument("--speed", type=float, default=50.0)
    asyncio.run(serve(**vars(parser.parse_args())))
