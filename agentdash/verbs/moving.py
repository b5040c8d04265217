"""Moves in from other autoscalers: `agentdash import`."""

from __future__ import annotations

import asyncio
import json
import sys
from argparse import Namespace
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

from agentdash.output import note, refusal, tell, waiting_for
from controller.config import MAX_BYTES
from controller.config.autoscalers import (
    HPA,
    SCALED_OBJECT,
    Imported,
    autoscalers,
)
from controller.config.foreign import Remark
from controller.config.moved import fleet_text, one_a_target
from controller.engine.supervise import SystemClock
from controller.exit_codes import ExitCode
from controller.kube.access import Access
from controller.kube.client import Client
from controller.kube.errors import ApiError, ConfigError, KubeError
from controller.model.settings import KubernetesSettings
from controller.model.text import clean

_LISTS: Final = (
    ("horizontalpodautoscalers", "apis/autoscaling/v2", HPA),
    ("scaledobjects", "apis/keda.sh/v1alpha1", SCALED_OBJECT),
)


def move_in(options: Namespace) -> ExitCode:
    """Print the fleet file, or the order of steps, of what the files or the cluster have."""
    if options.cluster == bool(options.files):
        raise refusal("import: give files, - for standard input, or --cluster", ExitCode.USAGE)
    texts = asyncio.run(_of_cluster(options)) if options.cluster else _of_files(options.files)
    found: list[Imported] = []
    unread: list[Remark] = []
    for name, text in texts:
        for each in autoscalers(text, name, options.namespace or "default"):
            if isinstance(each, Imported):
                found.append(each)
            else:
                unread.append(each)
    if not found:
        for remark in unread:
            note(str(remark))
        words = "there is no HorizontalPodAutoscaler and no ScaledObject in it"
        raise refusal(words, ExitCode.USAGE)
    found = one_a_target(found)
    if options.apply_order:
        tell(apply_order(found))
    else:
        tell(fleet_text(found, unread).removesuffix("\n"))
    counts = {state: sum(each.state == state for each in found) for state in _STATES}
    note(", ".join(f"{count} {state}" for state, count in counts.items()) + _unread(unread))
    return ExitCode.USAGE if unread else ExitCode.OK


_STATES: Final = ("wholly", "in part", "not")


def _unread(unread: Sequence[Remark]) -> str:
    return f"; {len(unread)} documents could not be read" if unread else ""


def _of_files(paths: Sequence[str]) -> list[tuple[str, str]]:
    """The text of each file, with its name. Raises ToldError."""
    texts = []
    for path in paths:
        name = "standard input" if path == "-" else clean(path)
        try:
            data = sys.stdin.buffer.read() if path == "-" else Path(path).expanduser().read_bytes()
            if len(data) > MAX_BYTES:
                raise refusal(f"{name}: is larger than {MAX_BYTES:,} bytes", ExitCode.USAGE)
            texts.append((name, data.decode("utf-8")))
        except OSError as error:
            raise refusal(f"{name}: {error.strerror}", ExitCode.USAGE) from None
        except UnicodeDecodeError:
            raise refusal(f"{name}: is not UTF-8: save it as UTF-8", ExitCode.USAGE) from None
    return texts


async def _of_cluster(options: Namespace) -> list[tuple[str, str]]:
    """The lists of the cluster as texts. HPAs that KEDA made for a ScaledObject are left out.
    Raises ToldError.
    """
    settings = KubernetesSettings(context=options.context, kubeconfig=options.kubeconfig)
    namespace = f"/namespaces/{options.namespace}" if options.namespace else ""
    texts = []
    try:
        client = Client(await Access.load(settings), SystemClock())
        try:
            with waiting_for("the API server"):
                for plural, group, kind in _LISTS:
                    try:
                        body = await client.call(
                            "GET", f"/{group}{namespace}/{plural}", kind=plural
                        )
                    except ApiError as error:
                        if error.status != 404:
                            raise
                        continue  # KEDA is not installed
                    texts.append((f"cluster:{plural}", _as_text(body, group, kind)))
        finally:
            await client.close()
    except (ConfigError, KubeError) as error:
        words = f"the cluster cannot be read: {error}; see --kubeconfig and --context"
        raise refusal(words, ExitCode.UNREACHABLE) from None
    return texts


def _as_text(body: bytes, group: str, kind: str) -> str:
    """A list as YAML can be read, a line for each object. Items of a list do not say their kind."""
    lines = []
    for item in json.loads(body).get("items") or ():
        metadata: dict[str, Any] = item.get("metadata", {})
        if any(each.get("kind") == SCALED_OBJECT for each in metadata.get("ownerReferences") or ()):
            continue
        spoken = {"apiVersion": group.removeprefix("apis/"), "kind": kind, **item}
        lines.append(json.dumps(spoken))
    return "\n---\n".join(lines)


def apply_order(found: Sequence[Imported]) -> str:
    """The steps from the other autoscalers to agentdash, with the commands of each."""
    pools = [each for each in found if each.pool is not None]
    steps = [
        "1. Write the fleet file, set nats.servers, and settle each remark in it:",
        "     agentdash import ... > fleet.yaml && agentdash doctor -f fleet.yaml",
        "2. Run it beside the others for a day. It writes nothing:",
        "     agentdash --controller-only --read-only -f fleet.yaml --journal beside.jsonl",
        "3. See where it would have differed, and correct the fleet file:",
        "     agentdash report compare beside.jsonl",
        "4. Start it without --read-only. It leaves alone each pool that another autoscaler has.",
        f"5. Take over pool by pool, the least important first ({len(pools)} of {len(found)} can):",
    ]
    for each in pools:
        namespace, name, target = map(clean, (each.namespace, each.name, each.target))
        pool = each.pool and f"{each.pool['tenant']}/{each.pool['name']}"
        if each.kind == HPA:
            kubectl = f"kubectl -n {namespace}"
            command = (
                f"{kubectl} get hpa {name} -o yaml > {name}.yaml && {kubectl} delete hpa {name}"
            )
            back = f"kubectl create -f {name}.yaml"
        else:
            annotate = f"kubectl -n {namespace} annotate scaledobject {name} autoscaling.keda.sh/"
            command, back = f"{annotate}paused=true", f"{annotate}paused-"
        steps += [f"   {pool} ({target}, {each.state}):", f"     {command}", f"     back: {back}"]
    for each in found:
        if each.pool is None:
            words = each.remarks[-1].words if each.remarks else ""
            steps.append(f"   {each.title} stays as it is: {clean(words)}")
    return "\n".join(steps)
