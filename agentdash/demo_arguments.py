"""The arguments of `agentdash demo` that no other verb has."""

from __future__ import annotations

import argparse

from agentdash import argument_types


def add_demo(parser: argparse.ArgumentParser) -> None:
    """What the demo's world and its load are like."""
    parser.description = (
        "Runs a real nats-server, a simulated Kubernetes API over HTTP, real workers, and a load "
        "with calm times, bursts and idle times; and the dashboard with its controller."
    )
    parser.add_argument("--headless", action="store_true", help="no screen, a summary at the end")
    parser.add_argument(
        "--for",
        dest="for_s",
        type=argument_types.duration,
        metavar="DURATION",
        help="end after this time (60s, 2m)",
    )
    parser.add_argument(
        "--speed",
        type=argument_types.speed,
        default=2.0,
        metavar="N",
        help="how many times faster than real the cluster and the workers are (default 2)",
    )
    parser.add_argument(
        "--seed",
        type=argument_types.seed,
        default=1,
        metavar="N",
        help="seed of the random load and start-up times (default 1)",
    )
    parser.add_argument(
        "--load-for",
        type=argument_types.duration,
        metavar="DURATION",
        help="stop publishing after this time",
    )
