"""Checks of Kubernetes: the connection, our rights, the lease, the clock."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Iterator
from typing import Final, NamedTuple

import msgspec
from msgspec.structs import replace

from controller.doctor.of_nats import told_skew
from controller.doctor.report import CHECK_S, Findings, Patient
from controller.kube.errors import KubeError
from controller.kube.lease import KubernetesLease
from controller.model.decoding import UndecodableError, decoded
from controller.model.lease import LeaseStore
from controller.model.rights import LOOKING, Right, cluster_rights, lease_rights, tenant_rights
from controller.model.text import clean_name
from controller.nats.bucket import Bucket
from controller.nats.lease import BucketLease
from controller.ports import Lease, LeaseError

_OLDEST: Final = (1, 23)
"""autoscaling/v2 came with it."""
_AT_ONCE: Final = 16


class _ServerVersion(msgspec.Struct):
    git_version: str = msgspec.field(name="gitVersion", default="")


class _ReviewStatus(msgspec.Struct):
    allowed: bool = False


class _Review(msgspec.Struct):
    """authorization.k8s.io/v1 SelfSubjectAccessReview: the answer."""

    status: _ReviewStatus


_VERSION: Final = msgspec.json.Decoder(_ServerVersion)
_REVIEW: Final = msgspec.json.Decoder(_Review)


async def connection(patient: Patient, found: Findings) -> None:
    """The API server answers and is new enough."""
    try:
        answer = await patient.client.call("GET", "/version", kind="version", timeout_s=CHECK_S)
        version = clean_name(decoded(_VERSION, answer).git_version)
    except KubeError as error:
        found.fail(
            error.detail,
            "look at the kubeconfig (--kubeconfig) and its context (--context); `kubectl version` "
            "asks the same",
        )
        return
    except UndecodableError as error:
        found.fail(f"the answer is no version: {error}", "does a proxy answer in its place?")
        return
    where = f"{patient.client.access.context}, server {version or 'without a version'}"
    numbers = re.match(r"v(\d+)\.(\d+)", version)
    release = (int(numbers[1]), int(numbers[2])) if numbers else None
    if release is not None and (1, 0) <= release < _OLDEST:  # 0.0 is a build without a release
        found.warn(f"{where} has no autoscaling/v2", "upgrade the cluster to 1.23 or newer")
    else:
        found.ok(where)


class _AskedRight(NamedTuple):
    """A right and where it is needed."""

    right: Right
    namespace: str
    verb: str
    resource: str

    @property
    def words(self) -> str:
        place = f" in {self.namespace}" if self.namespace else " in the whole cluster"
        group = f" ({self.right.group})" if self.right.group else ""
        return f"{self.verb} {self.resource}{group}{place}"

    @property
    def body(self) -> dict[str, object]:
        resource, _, sub = self.resource.partition("/")
        asked = {
            "verb": self.verb,
            "group": self.right.group,
            "resource": resource,
            "subresource": sub,
            "namespace": self.namespace,
            "name": self.right.names[0] if self.right.names else "",
        }
        return {
            "apiVersion": "authorization.k8s.io/v1",
            "kind": "SelfSubjectAccessReview",
            "spec": {"resourceAttributes": {key: text for key, text in asked.items() if text}},
        }


async def rights(patient: Patient, found: Findings) -> None:
    """The account that we log in with has each right of the printed Roles, and that of a person."""
    questions = list(_questions(patient))
    gate = asyncio.Semaphore(_AT_ONCE)
    async with asyncio.TaskGroup() as tasks:
        asked = [tasks.create_task(_allowed(patient, each, gate)) for each in questions]
    refused = [each for each, task in zip(questions, asked, strict=True) if not task.result()]
    todo = "agentdash manifests --only Role,RoleBinding,ClusterRole,ClusterRoleBinding prints it"
    for each in refused:
        if each.right.without:
            found.warn(f"we may not {each.words}: {each.right.without}", todo, each.namespace)
        else:
            found.fail(
                f"we may not {each.words}, which is needed for: {each.right.reason}",
                todo,
                each.namespace,
            )
    found.ok_if_clean(f"all {len(questions)} rights that this fleet file needs")


def _questions(patient: Patient) -> Iterator[_AskedRight]:
    settings = patient.settings
    wanted: list[tuple[Right, str]] = []
    for right in cluster_rights(settings):
        each_name = [replace(right, names=(name,)) for name in right.names] or [right]
        wanted += [(each, "") for each in each_name]
    for namespace, _ in patient.namespaces():
        wanted += [(right, namespace) for right in tenant_rights(settings, namespace)]
        wanted += [(right, namespace) for right in LOOKING]
    lease = settings.controller.lease
    if not settings.controller.read_only:
        wanted += [(right, lease.namespace) for right in lease_rights(lease)]
    for right, namespace in wanted:
        for verb, resource in right.asked():
            yield _AskedRight(right, namespace, verb, resource)


async def _allowed(patient: Patient, question: _AskedRight, gate: asyncio.Semaphore) -> bool:
    """Whether we have the right. Raises KubeError, UndecodableError."""
    async with gate:
        answer = await patient.client.call(
            "POST",
            "/apis/authorization.k8s.io/v1/selfsubjectaccessreviews",
            kind="selfsubjectaccessreviews",
            body=question.body,
            timeout_s=CHECK_S,
        )
    return decoded(_REVIEW, answer).status.allowed


async def lease(patient: Patient, found: Findings) -> None:
    """The lease can be read; who holds it."""
    wanted = patient.settings.controller.lease
    if patient.settings.controller.read_only:
        found.ok("none is needed: controller.read_only never leads")
        return
    made: Lease
    match wanted.store:
        case LeaseStore.NONE:
            found.warn(
                "controller.lease.store is none: two controllers would both write",
                "leave it out, unless there is never more than one controller",
            )
            return
        case LeaseStore.NATS:
            bucket = Bucket(patient.session, patient.settings.nats.bucket)
            made = BucketLease(patient.session, bucket, patient.clock)
        case LeaseStore.KUBERNETES:
            made = KubernetesLease(
                patient.client, patient.clock, namespace=wanted.namespace, name=wanted.name
            )
    try:
        seen = await made.read()
    except LeaseError as error:
        found.fail(str(error), "without a lease a controller writes nothing")
        return
    if seen is None or not seen.holder:
        found.ok(f"{made.name}: no controller leads now")
    else:
        found.ok(f"{made.name}: {seen.holder} leads")


async def clock(patient: Patient, found: Findings) -> None:
    """The API server's clock and ours agree."""
    before = patient.clock.now()
    theirs = await patient.client.server_time(CHECK_S)
    if theirs is None:
        found.skip("the API server's answer has no time")
        return
    told_skew(found, "the API server", theirs, (before, patient.clock.now()), exact_s=1.0)
