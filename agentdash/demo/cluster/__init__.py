"""A simulated Kubernetes API over HTTP, with the controllers, scheduler and kubelets around it."""

from agentdash.demo.cluster.nodes import ColdStart
from agentdash.demo.cluster.objects import StatusError
from agentdash.demo.cluster.sim import SimCluster

__all__ = ["ColdStart", "SimCluster", "StatusError"]
