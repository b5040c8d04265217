"""A simulated Kubernetes API over HTTP, with the controllers, scheduler and kubelets around it."""

from agentdash.demo.kubesim.cluster import Cluster, ClusterOptions
from agentdash.demo.kubesim.controllers.kubelet import ColdStart, PodRunner, Trouble
from agentdash.demo.kubesim.errors import ApiError
from agentdash.demo.kubesim.faults import Fault
from agentdash.demo.kubesim.sim import KubeSim

__all__ = [
    "ApiError",
    "Cluster",
    "ClusterOptions",
    "ColdStart",
    "Fault",
    "KubeSim",
    "PodRunner",
    "Trouble",
]
