"""Checks of NATS (the connection, the queues, what is kept there, its clock) and of Kubernetes (the
connection, our rights, the lease, the clock).
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import Iterator
from typing import Final, NamedTuple
from urllib.parse import quote

import msgspec

from controller.doctor.report import CHECK_S, Findings, Patient
from controller.kube.errors import ApiError, KubeError
from controller.kube.writes import KubernetesLease
from controller.manifests.rights import LOOKING, Right, cluster_rights, lease_rights, tenant_rights
from controller.model.fleet import Pool
from controller.model.ids import QueueName
from controller.model.readings import Absent, Why
from controller.model.settings import LeaseStore
from controller.model.snapshot import LinkState
from controller.model.text import clean, clean_name
from controller.model.value import UndecodableError, decoded
from controller.model.worker_messages import (
    ALLOWANCES_BUCKET,
    ORDERS_BUCKET,
    USAGE_STREAM,
    WORKERS_BUCKET,
)
from controller.nats.bucket import Bucket
from controller.nats.jetstream import (
    NatsError,
    StreamInfo,
    StreamMissingError,
    jetstream_problem,
    stream_info,
)
from controller.nats.journal_stream import journal_stream, journal_subject
from controller.nats.lag import ConsumerConfiguration, QueueReader, consumer_state
from controller.nats.state import BucketLease
from controller.notation.quantity import spell_duration
from controller.ports import Lease, StoreError

_SHARED_STREAMS: Final = (
    *(f"KV_{name}" for name in (ORDERS_BUCKET, WORKERS_BUCKET, ALLOWANCES_BUCKET)),
    USAGE_STREAM,
)
"""What controller and workers share; each is missing until it is first needed."""
_RIGHTS: Final = "give the NATS user the rights that docs/pages/on-a-cluster.md lists"

MOST_SKEW_S: Final = 2.0
"""Above it times of others and ours are told apart by people; no rule of ours compares them."""


async def nats_connection(patient: Patient, found: Findings) -> None:
    """NATS answers, is new enough and has JetStream."""
    session = patient.session
    link, domain = session.link(), patient.settings.nats.domain
    if session.unsupported is not None:
        found.fail(str(session.unsupported), "upgrade the server to 2.10 or newer")
    elif link.state is not LinkState.CONNECTED:
        found.fail(
            link.detail or "no server answers",
            "look at nats.servers, nats.credentials and nats.tls in the fleet file",
        )
    elif problem := await jetstream_problem(session.jetstream, domain):
        todo = "start the server with JetStream (-js), or use an account with it"
        if domain is not None:
            todo = "mend nats.domain in the fleet file, or connect the leaf node that leads there"
        found.fail(problem, todo)
    else:
        found.ok(f"{link.detail}, server {session.server_version}")


async def queues(patient: Patient, found: Findings) -> None:
    """Each pool's stream and consumer can be read."""
    reader = QueueReader(patient.session, patient.clock, timeout_s=CHECK_S)
    fed = [pool for pool in patient.pools if pool.queues]
    readings = await reader.read(fed)
    for pool in fed:
        reading = readings[pool.key]
        if not isinstance(reading, Absent):
            continue
        todo = _RIGHTS
        if reading.why is Why.STREAM_MISSING:
            todo = f"nats stream add {pool.stream}, or mend queue.stream of the pool"
        elif reading.why is Why.CONSUMER_MISSING:
            todo = f"nats consumer add {pool.stream} {pool.consumer} --pull, or mend queue.consumer"
        found.fail(
            f"{pool.stream}/{pool.consumer}: {reading.detail or reading.why}", todo, pool.key
        )
    await _deliveries(patient, found)
    await _losses(patient, found)
    found.ok_if_clean(f"{len(fed)} queues can be read")


async def _deliveries(patient: Patient, found: Findings) -> None:
    """Which consumers stop to deliver, and which do not prefer a pool's own workers."""
    served = {key for pool in patient.pools for key in pool.serves}
    for pool in patient.pools:
        for queue in pool.queues:
            try:
                state = await consumer_state(patient.session, *queue, CHECK_S)
            except NatsError:
                continue  # the readings say it
            config = state.config
            if pool.key in served and "agents" not in (config.priority_groups or ()):
                found.warn(
                    f"{queue.stream}/{queue.consumer} has no priority group agents: those that "
                    f"stand by for {pool.key} may be served before its own workers",
                    "update the consumer with priority_groups [agents] and priority_policy "
                    "prioritized (nats-server 2.12), once no older worker pulls from it",
                    pool.key,
                )
            _acknowledged(pool, queue, config, found)
            most = config.max_deliver
            if most > 0:
                found.warn(
                    f"{queue.stream}/{queue.consumer} has max_deliver {most}: JetStream gives a "
                    f"message up after delivery {most}; agentdash's workers publish it again, "
                    "behind the others, and need the stream AGENTDASH_EXHAUSTED for it; others "
                    "lose it",
                    f"nats consumer edit {queue.stream} {queue.consumer} --max-deliver=-1; workers "
                    "limit the tries themselves (AGENTDASH_ATTEMPTS)",
                    pool.key,
                )


def _acknowledged(
    pool: Pool, queue: QueueName, config: ConsumerConfiguration, found: Findings
) -> None:
    """Say whether each task is acknowledged, and as many at once as the pool can work on."""
    stream, consumer = queue
    if config.ack_policy != "explicit":
        filters = "".join(f" --filter {each}" for each in config.subjects())
        found.fail(
            f"{stream}/{consumer} has AckPolicy {clean(config.ack_policy)}: a task whose worker "
            "dies is lost, and no queue of tasks at work can be seen",
            f"nats consumer rm {stream} {consumer}, then nats consumer add {stream} {consumer} "
            f"--pull --ack explicit{filters}",
            pool.key,
        )
    most, needed = config.max_ack_pending, pool.max * pool.slots
    if 0 < most < needed:
        found.warn(
            f"{stream}/{consumer} hands out {most} tasks at once (max_ack_pending), and {pool.max} "
            f"replicas with slots: {pool.slots} work on {needed}: the others wait beside the queue",
            f"nats consumer edit {stream} {consumer} --max-pending={needed}",
            pool.key,
        )


async def _losses(patient: Patient, found: Findings) -> None:
    """Which streams throw tasks away that no worker has had."""
    for stream in dict.fromkeys(queue.stream for pool in patient.pools for queue in pool.queues):
        try:
            config = (await stream_info(patient.session, stream, CHECK_S)).config
        except NatsError:
            continue  # the readings say it
        refuses = config.discard == "new"
        for name, most, is_kept in (
            ("max_age", config.max_age, False),
            ("max_msgs", config.max_msgs, refuses),
            ("max_bytes", config.max_bytes, refuses),
            (
                "max_msgs_per_subject",
                config.max_msgs_per_subject,
                refuses and config.discard_new_per_subject,
            ),
        ):
            if most > 0 and not is_kept:
                _loses(stream, name, most, found)


def _loses(stream: str, name: str, most: int, found: Findings) -> None:
    """Say by which limit of a stream tasks are lost, and how it is lifted."""
    if name == "max_age":
        after, todo = f"after {spell_duration(most / 1e9)}", "--max-age=0s"
    else:
        after = f"beyond {most:,}"
        todo = "--max-msgs-per-subject=-1" if name == "max_msgs_per_subject" else "--discard=new"
    found.warn(
        f"{stream} throws its oldest tasks away {after} ({name}), those that no worker had too",
        f"nats stream edit {stream} {todo}",
    )


async def stores(patient: Patient, found: Findings) -> None:
    """The bucket of memory and intents, and the stream of used tokens where a budget needs it."""
    bucket = f"KV_{patient.settings.nats.bucket}"
    await _kept(patient, found, bucket, "controller", ("", "; without them a restart forgets"))
    journal = patient.settings.controller.journal
    if journal is not None and journal.stream is not None:
        await _journal(patient, found)
    tenants = patient.settings.fleet.tenants
    if any(tenant.budget.tokens_per_day is not None for tenant in tenants):
        try:
            await stream_info(patient.session, USAGE_STREAM, CHECK_S)
        except NatsError as error:
            found.fail(
                f"{USAGE_STREAM}: {error}; tenants with a hard budget do not grow",
                f"nats stream add {USAGE_STREAM} --subjects 'agentdash.usage.>' --max-age 8d",
            )
    found.ok_if_clean(f"{bucket} can be read")


async def _journal(patient: Patient, found: Findings) -> None:
    """The journal's stream is there and takes the subject that is written."""
    bucket = patient.settings.nats.bucket
    stream, subject = journal_stream(bucket), journal_subject(bucket)
    alone = "; the journal is then in the leader's file alone"
    info = await _kept(patient, found, stream, "leader", (alone, ""))
    taken = {subject} if info is None else set(info.config.subjects or ())
    if not {subject, f"{bucket}.*", f"{bucket}.>"} & taken:
        found.fail(
            f"{stream} does not take {subject}, so no journal is written into it",
            f"nats stream edit {stream} --subjects {subject}",
        )


async def _kept(
    patient: Patient, found: Findings, stream: str, maker: str, without: tuple[str, str]
) -> StreamInfo | None:
    """A stream that the first `maker` creates; None where it is not there or cannot be read.
    `without` goes on with the words and the advice then.
    """
    try:
        return await stream_info(patient.session, stream, CHECK_S)
    except StreamMissingError:
        found.warn(f"{stream} does not exist yet", f"nothing: the first {maker} creates it")
    except NatsError as error:
        found.fail(f"{stream}: {error}{without[0]}", f"{_RIGHTS}{without[1]}")
    return None


async def copies(patient: Patient, found: Findings) -> None:
    """In a cluster no stream that we need is lost with one server, as the file has it."""
    nats = patient.settings.nats
    bucket = f"KV_{nats.bucket}"
    queues = dict.fromkeys(queue.stream for pool in patient.pools for queue in pool.queues)
    several = ""
    kept = (bucket, journal_stream(nats.bucket), *_SHARED_STREAMS)
    for stream in dict.fromkeys((*queues, *kept)):
        try:
            info = await stream_info(patient.session, stream, CHECK_S)
        except NatsError:
            continue  # the checks of queues and stores say it
        servers, cluster = info.config.num_replicas, info.cluster.name if info.cluster else ""
        several = several or clean(cluster)
        if cluster and servers == 1:
            found.warn(
                f"{stream} is kept by one server of cluster {clean(cluster)}: while that server is "
                "away it cannot be read, and its pools are held",
                f"nats stream edit {stream} --replicas 3"
                + (", and nats.replicas: 3 in the fleet file" if stream == bucket else ""),
            )
        elif stream == bucket and servers != nats.replicas:
            found.warn(
                f"{bucket} is kept by {servers} servers and nats.replicas says {nats.replicas}: a "
                "bucket that exists keeps its own number",
                f"nats stream edit {bucket} --replicas {nats.replicas}, or mend nats.replicas",
            )
    where = f"cluster {several}" if several else "one server"
    found.ok_if_clean(f"{where}, as many copies as are asked for")


async def inbox(patient: Patient, found: Findings) -> None:
    """Nobody else's right to publish reaches the subjects of our answers."""
    prefix, tenants = patient.settings.nats.inbox, patient.settings.fleet.tenants
    if prefix == "_INBOX" and len(tenants) > 1:
        found.warn(
            f"a tenant that may publish to _INBOX.> in our account can claim any length of any of "
            f"the {len(tenants)} tenants' queues",
            "give agentdash an inbox of its own (nats.inbox: AGENTDASH_INBOX), which no tenant may "
            "publish to",
        )
    found.ok_if_clean(f"answers come to {prefix}.>")


async def nats_clock(patient: Patient, found: Findings) -> None:
    """The NATS server's clock and ours agree."""
    for stream in dict.fromkeys(queue.stream for pool in patient.pools for queue in pool.queues):
        before = patient.clock.now()
        try:
            info = await stream_info(patient.session, stream, CHECK_S)
        except NatsError:
            continue  # the check of queues says it
        if info.ts is None:
            continue
        told_skew(found, "NATS", info.ts.timestamp(), (before, patient.clock.now()))
        return
    found.skip("no stream could be asked for the server's time")


def told_skew(
    found: Findings, server: str, theirs: float, ours: tuple[float, float], exact_s: float = 0.0
) -> None:
    """How far a server's clock is off: `ours` before and after, `exact_s` of `theirs`."""
    ahead = max(theirs - ours[1], 0.0) or min(theirs + exact_s - ours[0], 0.0)
    if abs(ahead) > MOST_SKEW_S:
        word = "ahead of" if ahead > 0 else "behind"
        found.warn(
            f"the clock of {server} is {abs(ahead):.1f} s {word} ours: ages and times shown are "
            "wrong by that",
            "timedatectl set-ntp true, or chrony, on both machines",
        )
    else:
        found.ok(f"the clock of {server} is within {MOST_SKEW_S:g} s of ours")


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


async def kubernetes_connection(patient: Patient, found: Findings) -> None:
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
        each_name = [right._replace(names=(name,)) for name in right.names] or [right]
        wanted += [(each, "") for each in each_name]
    rights = tenant_rights(settings)
    for namespace, _ in patient.namespaces():
        wanted += [(right, namespace) for right in rights[namespace]]
        wanted.append((LOOKING, namespace))
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
            made = BucketLease(patient.session, bucket)
        case LeaseStore.KUBERNETES:
            made = KubernetesLease(
                patient.client, patient.clock, namespace=wanted.namespace, name=wanted.name
            )
    try:
        seen = await made.read()
    except StoreError as error:
        found.fail(str(error), "without a lease a controller writes nothing")
        return
    if seen is None and wanted.store is LeaseStore.KUBERNETES:
        await _place(patient, wanted.namespace, found)
    if found.lines:
        return
    if seen is None or not seen.holder:
        found.ok(f"{made.name}: no controller leads now")
    else:
        found.ok(f"{made.name}: {seen.holder} leads")


async def _place(patient: Patient, namespace: str, found: Findings) -> None:
    """Say where the lease's namespace is missing: an API server says the same of both."""
    try:
        path = f"/api/v1/namespaces/{quote(namespace, safe='')}"
        await patient.client.call("GET", path, kind="namespaces", timeout_s=CHECK_S)
    except ApiError as error:
        if error.status == 404:
            found.fail(
                f"there is no namespace {namespace} for the lease: no controller can lead",
                f"kubectl create namespace {namespace}, or mend controller.lease.namespace",
            )
        elif error.status != 403:  # the rights say whether a lease can be made there
            raise


async def kubernetes_clock(patient: Patient, found: Findings) -> None:
    """The API server's clock and ours agree."""
    before = patient.clock.now()
    theirs = await patient.client.server_time(CHECK_S)
    if theirs is None:
        found.skip("the API server's answer has no time")
        return
    told_skew(found, "the API server", theirs, (before, patient.clock.now()), exact_s=1.0)
