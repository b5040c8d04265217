"""A simulated Kubernetes API over HTTP, with the controllers, scheduler and kubelets around it."""

from agentdash.demo.kubesim.controllers.kubelet import ColdStart, PodTrouble
from agentdash.demo.kubesim.errors import StatusError
from agentdash.demo.kubesim.faults import ApiFault
from agentdash.demo.kubesim.sim import KubeSim

__all__ = ["ApiFault", "ColdStart", "KubeSim", "PodTrouble", "StatusError"]
