"""Arithmetic of a Deployment's rollout: hashes, surge, and how far each ReplicaSet may grow or
shrink.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from functools import lru_cache
from typing import Any

import msgspec

from agentdash.demo.kubesim.defaults import SUFFIX_LETTERS

HASH_LABEL = "pod-template-hash"
_FNV_OFFSET, _FNV_PRIME = 2166136261, 16777619


def template_hash(template: Mapping[str, Any], collisions: int = 0) -> str:
    """The hash in a ReplicaSet's name: FNV-1a, with its digits as letters that form no words.
    `collisions` is how many such names were found to be another's.

    The real server hashes what Go prints of the struct, so the values differ; the form is the same.
    """
    text = msgspec.json.encode(template, order="sorted")
    return _spelled(text + str(collisions).encode() if collisions else text)


@lru_cache(maxsize=512)
def _spelled(text: bytes) -> str:
    value = _FNV_OFFSET
    for byte in text:
        value = ((value ^ byte) * _FNV_PRIME) & 0xFFFFFFFF
    return "".join(SUFFIX_LETTERS[ord(digit) % len(SUFFIX_LETTERS)] for digit in f"{value:08d}")


def resolve(deployment: Mapping[str, Any]) -> tuple[int, int]:
    """MaxSurge and maxUnavailable as numbers (apps deployment util ResolveFenceposts)."""
    spec = deployment["spec"]
    strategy, replicas = spec["strategy"], spec["replicas"]
    if strategy["type"] == "Recreate" or replicas == 0:
        return 0, 0
    rolling = strategy["rollingUpdate"]
    surge = _scaled(rolling["maxSurge"], replicas, round_up=True)
    unavailable = _scaled(rolling["maxUnavailable"], replicas, round_up=False)
    if surge == 0 and unavailable == 0:
        unavailable = 1  # otherwise no pod could be replaced
    return surge, min(unavailable, replicas)


def _scaled(value: int | str, whole: int, *, round_up: bool) -> int:
    if isinstance(value, int):
        return value
    share = whole * int(value.rstrip("%")) / 100
    return math.ceil(share) if round_up else math.floor(share)


def new_set_size(deployment: Mapping[str, Any], new: int, everything: int) -> int:
    """The new ReplicaSet's size: as many as are wanted, within the surge."""
    wanted = int(deployment["spec"]["replicas"])
    if deployment["spec"]["strategy"]["type"] == "Recreate":
        return wanted if everything == new else new
    surge, _ = resolve(deployment)
    room = wanted + surge - everything
    return min(wanted, new + max(0, room)) if wanted >= new else wanted


def old_sets_cut(
    deployment: Mapping[str, Any], everything: int, new: int, new_unavailable: int
) -> int:
    """How many old pods may be deleted now so that enough stay available."""
    if deployment["spec"]["strategy"]["type"] == "Recreate":
        return everything - new
    _, unavailable = resolve(deployment)
    least = int(deployment["spec"]["replicas"]) - unavailable
    return max(0, everything - least - new_unavailable)
