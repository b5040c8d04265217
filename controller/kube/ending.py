"""Nodes that are about to end, and the taints that say so."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from controller.kube import wire
from controller.model.text import clean_name

ENDING_TAINTS: Final = (
    # the cluster autoscaler, just before it drains and deletes the node
    "ToBeDeletedByClusterAutoscaler",
    # Karpenter, before it drains the node: since v1, and before
    "karpenter.sh/disrupted",
    "karpenter.sh/disruption",
    # AWS node termination handler: spot interruption, scheduled event, end of its scaling group
    "aws-node-termination-handler/",
    # GKE: the machine is preempted or shut down
    "cloud.google.com/impending-node-termination",
    # Kubernetes and its cloud controllers: the machine is down
    "node.kubernetes.io/out-of-service",
    "node.cloudprovider.kubernetes.io/shutdown",
)
"""Keys, or with `/` at their end the beginnings of keys. Taints of whole groups of nodes, such as
`kubernetes.azure.com/scalesetpriority`, say only that a node may end some day.
"""


def ending_taint(taints: Iterable[wire.WireTaint], further: Iterable[str]) -> str:
    """The key of the first taint that says that its node ends soon; empty if there is none.
    `further` are keys beside those above.
    """
    signs = (*ENDING_TAINTS, *further)
    keys = (taint.key for taint in taints if any(_matches(taint.key, sign) for sign in signs))
    return clean_name(next(keys, ""))


def _matches(key: str, sign: str) -> bool:
    return key.startswith(sign) if sign.endswith("/") else key == sign
