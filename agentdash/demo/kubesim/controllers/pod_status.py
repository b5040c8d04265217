"""A pod's status in each phase of its life, as a kubelet reports it."""

from __future__ import annotations

from collections.abc import Iterable

from agentdash.demo.kubesim.clock import stamp
from agentdash.demo.kubesim.controllers.pods import condition
from agentdash.demo.kubesim.objects import Object

_KUBELETS = ("Initialized", "PodReadyToStartContainers", "ContainersReady", "Ready")


def creating(pod: Object, reason: str = "ContainerCreating", message: str = "") -> Object:
    """The pod is scheduled; its images are being pulled, or `reason` says why they are not."""
    waiting = {"reason": reason} | ({"message": message} if message else {})
    return _status(pod, "Pending", started=False, ready=False, state={"waiting": waiting})


def running(pod: Object, address: str, *, ready: bool) -> Object:
    """The containers run."""
    now = stamp()
    state = {"running": {"startedAt": _started_at(pod) or now}}
    return _status(pod, "Running", started=True, ready=ready, state=state, address=address)


def crashed(pod: Object, exit_code: int, restarts: int) -> Object:
    """The container has ended and waits to be started again."""
    ended = {
        "exitCode": exit_code,
        "reason": "Error" if exit_code else "Completed",
        "startedAt": _started_at(pod) or stamp(),
        "finishedAt": stamp(),
    }
    name = pod["metadata"]["name"]
    first = pod["spec"]["containers"][0]["name"]
    words = f"back-off restarting failed container={first} pod={name}"
    state = {"waiting": {"reason": "CrashLoopBackOff", "message": words}}
    address = pod["status"].get("podIP", "")
    status = _status(pod, "Running", started=True, ready=False, state=state, address=address)
    for container in status["containerStatuses"]:
        container |= {"lastState": {"terminated": ended}, "restartCount": restarts}
    return status


def _started_at(pod: Object) -> str:
    for container in pod["status"].get("containerStatuses") or ():
        if "running" in container["state"]:
            return str(container["state"]["running"]["startedAt"])
    return ""


def _status(
    pod: Object, phase: str, *, started: bool, ready: bool, state: Object, address: str = ""
) -> Object:
    before = pod["status"]
    status: Object = {"phase": phase, "conditions": _conditions(pod, started=started, ready=ready)}
    if address:
        status |= {"podIP": address, "podIPs": [{"ip": address}]}
    status["startTime"] = before.get("startTime") or stamp()
    known = {each["name"]: each for each in before.get("containerStatuses") or ()}
    status["containerStatuses"] = [
        {
            "name": container["name"],
            "state": dict(state),
            "lastState": known.get(container["name"], {}).get("lastState", {}),
            "ready": ready,
            "restartCount": known.get(container["name"], {}).get("restartCount", 0),
            "image": container["image"],
            "imageID": "",
        }
        for container in pod["spec"]["containers"]
    ]
    status["qosClass"] = before.get("qosClass", "BestEffort")
    return status


def _conditions(pod: Object, *, started: bool, ready: bool) -> list[Object]:
    values = dict(zip(_KUBELETS, (True, started, ready, ready), strict=True))
    names = ", ".join(container["name"] for container in pod["spec"]["containers"])
    why = {
        "reason": "ContainersNotReady",
        "message": f"containers with unready status: [{names}]",
    }
    ours = [
        _condition(pod, kind, value=value, why=why if kind in _KUBELETS[2:] else {})
        for kind, value in values.items()
    ]
    return [*ours, *_others(pod["status"].get("conditions") or ())]


def _condition(pod: Object, kind: str, *, value: bool, why: Object) -> Object:
    shown = "True" if value else "False"
    known = condition(pod, kind)
    moved = known["lastTransitionTime"] if known and known["status"] == shown else stamp()
    fresh = {"type": kind, "status": shown, "lastProbeTime": None, "lastTransitionTime": moved}
    return fresh if value else fresh | why


def _others(conditions: Iterable[Object]) -> list[Object]:
    return [found for found in conditions if found["type"] not in _KUBELETS]
