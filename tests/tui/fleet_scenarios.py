"""Fixed snapshots for the views of the whole fleet: queues, tenants and what else they share."""

from __future__ import annotations

from msgspec.structs import replace

from controller.model.decision import Bound, Code, Reason
from controller.model.ids import PoolKey
from controller.model.intents import Scope
from controller.model.observation import (
    ModelTokens,
    MonthUsd,
    QueueDepth,
    TierUsage,
    TokensByModel,
    Workers,
)
from controller.model.readings import Absent, Fresh, Why, last_known
from controller.model.scarcity import ModelTier, Resources
from controller.model.snapshot import (
    NOT_KNOWN,
    ClusterNode,
    History,
    ModelDraw,
    ModelLimit,
    ModelView,
    NodeClassView,
    PoolView,
    QueueRates,
    RoomView,
    Snapshot,
    TenantTokens,
    TenantView,
    Timeline,
    TokenState,
)
from controller.model.worker_messages import WorkerState
from support.asked import a_budget, a_freeze, a_pause
from tui import scenarios
from tui.scenarios import HOSTILE_TEXT, NOW

GIB = 1024**3
MIDNIGHT = NOW - NOW % 86_400 + 86_400
FREEZE = a_freeze(scope=Scope(tenant="kite"), until=NOW + 7200, who="jon", why="OPS-890 upgrade")
BUDGET = a_budget(tenant="kite", tokens=3_000_000, until=NOW + 40_000, who="eve", why="demo")
PAUSE = a_pause(scope=Scope(tenant="initech"), until=NOW + 3311, who="mara", why="OPS-881 loop")


def rates(
    pool: str,
    arrivals: float | None,
    completions: float | None,
    p50: float | None = None,
    p95: float | None = None,
    *,
    oldest_s: float | None = None,
    older: bool = False,
) -> QueueRates:
    return QueueRates(
        pool=PoolKey(pool),
        arrivals_per_minute=arrivals,
        completions_per_minute=completions,
        waited_p50_s=p50,
        waited_p95_s=p95,
        oldest_at=None if oldest_s is None else NOW - oldest_s,
        oldest_is_older=older,
        since=NOW - 1020,
    )


def tokens(
    used: int | None,
    cap: int,
    state: TokenState = TokenState.OK,
    *,
    burn: float | None = None,
    runs_out_s: float | None = None,
    pace: float | None = None,
    reserved: int | None = None,
    is_old: bool = False,
    since_s: float = 43_200.0,
) -> TenantTokens:
    return TenantTokens(
        cap=cap,
        state=state,
        resets_at=MIDNIGHT,
        used=used,
        reserved=reserved,
        is_old=is_old,
        burn_per_minute=burn,
        pace_per_minute=pace,
        runs_out_at=None if runs_out_s is None else NOW + runs_out_s,
        since=NOW - since_s,
    )


USED_BY_ACME = TokensByModel(
    models=(
        ModelTokens(
            model="haiku",
            input=604_200,
            cached_input=98_000,
            output=44_280,
            calls=1_904,
            usd=0.11,
        ),
        ModelTokens(
            model="steady-2",
            input=301_000,
            cached_input=41_200,
            output=19_000,
            calls=402,
            usd=1.1,
        ),
        ModelTokens(model="opus", input=88_320, output=8_000, calls=21, usd=0.64),
    ),
    per_minute=2_100,
    usd_by_pool={PoolKey("acme/browser-gpu"): 0.31, PoolKey("acme/coder-large"): 1.54},
    expected_usd=4.2,
    month=MonthUsd(
        month="2026-10",
        by_model={"haiku": 2.5, "opus": 31.4},
        by_pool={PoolKey("acme/coder-large"): 33.9},
        since=1_792_540_800.0,
    ),
)


def counted(*views: TenantView) -> tuple[TenantView, ...]:
    """Each with the tokens of the last minute, where nothing else says them: as its pace is."""
    return tuple(
        replace(view, by_model=TokensByModel(models=(), per_minute=round(tokens.burn_per_minute)))
        if (view.by_model is None or not view.by_model.models)
        and (tokens := view.tokens)
        and tokens.burn_per_minute is not None
        else view
        for view in views
    )


def calm_tenants() -> tuple[TenantView, ...]:
    """Enough tokens, money and room for everybody."""
    return counted(
        TenantView(
            name="acme",
            tier="enterprise",
            namespace="agents-acme",
            pools=2,
            tokens=tokens(1_204_000, 5_000_000, burn=2_100.0, reserved=84_000),
            usd_per_hour=31.2,
            usd_limit=50.0,
            tiers=TierUsage(
                tokens={
                    ModelTier.NANO: 746_480,
                    ModelTier.STANDARD: 361_200,
                    ModelTier.PREMIUM: 96_320,
                },
                saved_usd=4.1,
            ),
            by_model=USED_BY_ACME,
            quota=Resources(replicas=120, cpu_milli=64_000, memory_bytes=256 * GIB),
            used=Resources(replicas=80, cpu_milli=20_000, memory_bytes=40 * GIB),
        ),
        TenantView(
            name="globex",
            tier="growth",
            namespace="agents-globex",
            pools=4,
            tokens=tokens(610_000, 2_000_000, burn=800.0),
            usd_per_hour=12.4,
            unpriced=1,
            quota=Resources(replicas=400),
            used=Resources(replicas=286, cpu_milli=None, memory_bytes=None),
        ),
        TenantView(
            name="initech",
            tier="starter",
            namespace="agents-initech",
            pools=3,
            unpriced=3,
            by_model=TokensByModel(
                models=(ModelTokens(model="", input=84_000, output=9_100, calls=61),),
                per_minute=620,
            ),
            used=Resources(replicas=11, cpu_milli=2_750, memory_bytes=11 * GIB // 2),
        ),
    )


def paces(tokens_a_minute: int, rises: float) -> History:
    """The pace of a tenant's tokens: it rises by so much in each minute."""
    recent = [round(tokens_a_minute * rises ** (slot // 4)) for slot in range(60)]
    return History(recent=Timeline(tokens=(NOT_KNOWN, NOT_KNOWN, *recent[2:])))


TENANT_HISTORIES = {
    "acme": paces(1_200, 1.28),
    "globex": paces(9_000, 0.97),
    "kite": paces(NOT_KNOWN, 1.0),
}


def strained_tenants() -> tuple[TenantView, ...]:
    """One tenant near its cap, one stopped, one paused, one whose ledger is silent."""
    acme, globex, initech = calm_tenants()
    return counted(
        replace(
            acme,
            tokens=tokens(
                4_705_000,
                5_000_000,
                TokenState.PACED,
                burn=41_000.0,
                pace=412.5,
                runs_out_s=432,
                reserved=120_000,
                since_s=1260,
            ),
            usd_per_hour=54.1,
        ),
        replace(
            globex,
            tokens=tokens(
                2_013_000, 2_000_000, TokenState.HARD, burn=8_200.0, pace=0.0, since_s=180
            ),
        ),
        replace(initech, pause=PAUSE, pause_since=NOW - 212, paused_pools=3),
        TenantView(
            name="kite",
            tier="starter",
            namespace="agents-kite",
            freeze=FREEZE,
            day_budget=BUDGET,
            pools=0,
            tokens=tokens(305_000, 500_000, TokenState.UNKNOWN, is_old=True, since_s=620),
            is_quota_old=True,
            quota=Resources(replicas=8),
            used=Resources(replicas=0, cpu_milli=0, memory_bytes=0),
        ),
    )


QUEUES = (
    rates("acme/coder-large", 88.2, 91.0, 3.0, 14.2, oldest_s=4),
    rates("acme/browser-gpu", 1204.0, 37.5, 41.0, 112.4, oldest_s=112),
    rates("globex/research", None, None),
    rates("globex/support-chat", 230.0, 229.0, 0.2, 0.9),
    rates("globex/eval-batch", 0.0, 9.4, 61.0, 340.0),
    rates("initech/voice", 0.0, 0.0),
    rates("initech/etl", 4.2, 3.9, oldest_s=724, older=True),
    rates("initech/tools-shared", 0.0, 2.0, 7.0, 31.0, oldest_s=31),
    rates("globex/canary", None, None),
)


def draw(
    pool: str, replicas: int, each: float = 12.0, *, refused: int = 0, is_known: bool = True
) -> ModelDraw:
    """A pool whose replicas make so many calls a minute each, of 2,000 tokens in and 250 out."""
    calls = replicas * each if is_known else 0.0
    return ModelDraw(
        pool=PoolKey(pool),
        replicas=replicas,
        is_known=is_known,
        requests_per_minute=calls,
        input_tokens_per_minute=2_000 * calls,
        output_tokens_per_minute=250 * calls,
        parallel=replicas if is_known else 0,
        refused=refused,
    )


MODELS = (
    ModelView(
        key="haiku",
        model="haiku",
        draws=(draw("globex/support-chat", 140, 3.0), draw("initech/etl", 11, is_known=False)),
        limits=(
            ModelLimit(name="requests", limit=4_000, usable=4_000.0, drawn=420.0),
            ModelLimit(name="parallel calls", limit=400, usable=400.0, drawn=140.0),
        ),
        calls_per_minute=350.0,
        made={"requests": 350.0, "input tokens": 700_000.0, "parallel calls": 90.0},
        refused_calls_per_minute=0.0,
    ),
    ModelView(key="local", model="local"),
    ModelView(
        key="opus",
        model="opus",
        draws=(draw("acme/coder-large", 70), draw("acme/browser-gpu", 20, 2.5, refused=31)),
        limits=(
            ModelLimit(name="requests", limit=1_000, usable=900.0, drawn=890.0, refused=31),
            ModelLimit(name="input tokens", limit=4_000_000, usable=3_600_000.0, drawn=1_780_000.0),
            ModelLimit(name="output tokens", limit=800_000, usable=720_000.0, drawn=222_500.0),
        ),
        calls_per_minute=930.0,
        made={"requests": 930.0, "input tokens": 1_860_000.0, "output tokens": 231_000.0},
        refused_calls_per_minute=45.0,
    ),
    ModelView(
        key="sonnet/globex",
        model="sonnet",
        tenant="globex",
        draws=(draw("globex/eval-batch", 52, 0.4), draw("globex/research", 88, 1.0)),
        limits=(ModelLimit(name="requests", limit=300, usable=270.0, drawn=108.8),),
    ),
)
ROOM = RoomView(
    classes=(
        NodeClassView(
            name="",
            nodes=("cpu-01", "cpu-02", "cpu-03", "gpu-a10-02", "gpu-a10-04", "gpu-a10-07"),
            room=Resources(replicas=1_100, cpu_milli=176_000, memory_bytes=704 * GIB),
            used=Resources(replicas=370, cpu_milli=96_500, memory_bytes=412 * GIB),
            pods=370,
            typical=PoolKey("globex/support-chat"),
            fits=159,
        ),
        NodeClassView(
            name="gpu",
            nodes=("gpu-a10-02", "gpu-a10-04", "gpu-a10-07"),
            most_nodes=3,
            room=Resources(replicas=330, cpu_milli=48_000, memory_bytes=192 * GIB),
            used=Resources(replicas=14, cpu_milli=46_000, memory_bytes=84 * GIB),
            pods=14,
            typical=PoolKey("acme/browser-gpu"),
            fits=0,
        ),
        NodeClassView(
            name="spot",
            nodes=("cpu-03",),
            most_nodes=25,
            room=Resources(replicas=770, cpu_milli=128_000, memory_bytes=512 * GIB),
            used=Resources(replicas=61, cpu_milli=None, memory_bytes=None),
            pods=61,
            typical=PoolKey("acme/coder-large"),
        ),
    )
)

GPU_TAINT = "nvidia.com/gpu=present:NoSchedule"


def cluster_node(
    name: str, node_class: str, cpus: int, gib: int, *taints: str, closed: str = ""
) -> ClusterNode:
    return ClusterNode(
        name=name,
        node_class=node_class,
        holds=Resources(replicas=110, cpu_milli=1000 * cpus, memory_bytes=gib * GIB),
        taints=taints,
        closed=closed,
    )


NODES = (
    cluster_node("cpu-01", "", 32, 128),
    cluster_node(
        "cpu-02", "", 32, 128, "node.kubernetes.io/unschedulable:NoSchedule", closed="cordoned"
    ),
    cluster_node("cpu-03", "spot", 32, 128, "cloud.google.com/gke-spot=true:NoSchedule"),
    cluster_node("gpu-a10-02", "gpu", 16, 64, GPU_TAINT),
    cluster_node("gpu-a10-04", "gpu", 16, 64, GPU_TAINT, "team=vision:PreferNoSchedule"),
    cluster_node(
        "gpu-a10-07",
        "gpu",
        16,
        64,
        GPU_TAINT,
        "node.kubernetes.io/not-ready:NoExecute",
        closed="not Ready",
    ),
)


def placed() -> Snapshot:
    """The burst, with what the pods of one pool request and what their workers say."""
    snapshot = burst()
    gpu = next(view for view in snapshot.pools if view.key == "acme/browser-gpu")
    pods = last_known(gpu.observation.pods)
    assert pods is not None
    states = tuple(
        WorkerState(worker=pod.name, slots=2, busy=number % 3, pulling=True)
        for number, pod in enumerate(pods.items[3:13])
    )
    seen = replace(gpu.observation, workers=Fresh(value=Workers(states=states), at=snapshot.at))
    requests = Resources(cpu_milli=1_000, memory_bytes=4 * GIB)
    return _changed(snapshot, {gpu.key: replace(gpu, observation=seen, requests=requests)})


def no_nodes() -> Snapshot:
    """Nodes may not be listed, and the fleet file says nothing of capacity."""
    why = 'refused: nodes is forbidden: User "system:serviceaccount:agents:agentdash" cannot list'
    return replace(calm(), room=RoomView(why=why), nodes=())


def with_depth(view: PoolView, **numbers: object) -> PoolView:
    reading = view.observation.queue
    assert isinstance(reading, Fresh)
    depth: QueueDepth = replace(reading.value, **numbers)
    seen = replace(view.observation, queue=replace(reading, value=depth))
    return replace(view, observation=seen)


def held(view: PoolView) -> PoolView:
    """A pause of an operator binds the pool."""
    assert view.decision is not None
    reason = Reason(code=Code.PAUSED, value=0, numbers={"who": "mara", "reason": "OPS-881 loop"})
    decision = replace(
        view.decision, target=0, bound=Bound.PAUSE, reasons=(*view.decision.reasons, reason)
    )
    return replace(view, decision=decision)


def without_pods(view: PoolView) -> PoolView:
    """Its pods cannot be read."""
    reading = Absent(why=Why.VIEW_INCOMPLETE, at=NOW - 60, detail="pods of agents-globex")
    return replace(view, observation=replace(view.observation, pods=reading))


ASKED = (
    scenarios.event(
        212,
        "initech/tools-shared",
        9,
        0,
        Bound.PAUSE,
        reason=Reason(code=Code.PAUSED, value=0, numbers={"who": "mara", "reason": "OPS-881"}),
    ),
    scenarios.event(
        3720,
        "acme/browser-gpu",
        4,
        9,
        Bound.PIN,
        reason=Reason(
            code=Code.PINNED,
            value=9,
            numbers={"spares": 5, "who": "jon", "reason": "launch at noon"},
        ),
    ),
)


def _changed(snapshot: Snapshot, changes: dict[str, PoolView]) -> Snapshot:
    return replace(snapshot, pools=tuple(changes.get(view.key, view) for view in snapshot.pools))


def burst(sequence: int = 4821, at: float = NOW - 0.4) -> Snapshot:
    """The mixed fleet in a burst: one queue far behind, some that wait for other reasons."""
    snapshot = scenarios.mixed_fleet(sequence, at=at)
    views = {str(view.key): view for view in snapshot.pools}
    poison = Reason(
        code=Code.POISON, value=2, numbers={"redelivered": 2, "deliveries": 41, "since": NOW - 840}
    )
    etl = views["initech/etl"]
    assert etl.decision is not None
    etl = replace(etl, decision=replace(etl.decision, reasons=(*etl.decision.reasons, poison)))
    return replace(
        _changed(
            snapshot,
            {
                "acme/coder-large": with_depth(views["acme/coder-large"], waiting_pulls=4),
                "globex/eval-batch": with_depth(views["globex/eval-batch"], paused=True),
                "initech/etl": with_depth(etl, redelivered=2),
                "initech/tools-shared": held(views["initech/tools-shared"]),
                "globex/canary": without_pods(views["globex/canary"]),
            },
        ),
        queues=QUEUES,
        tenants=calm_tenants(),
        tenant_histories=TENANT_HISTORIES,
        models=MODELS,
        room=ROOM,
        nodes=NODES,
        events=(*snapshot.events, *ASKED),
    )


def over_budget() -> Snapshot:
    return replace(burst(), tenants=strained_tenants())


def calm() -> Snapshot:
    """Three pools that have what they need."""
    names = {"globex/support-chat", "globex/eval-batch", "initech/voice"}
    snapshot = burst()
    return replace(
        snapshot,
        pools=tuple(view for view in scenarios.pools() if view.key in names),
        events=(),
        models=MODELS[1:2],
        queues=tuple(each for each in QUEUES if each.pool in names),
        findings=(),
    )


def stale() -> Snapshot:
    return replace(over_budget(), at=NOW - 47.0)


def attached() -> Snapshot:
    """The controller runs elsewhere, and keeps a journal."""
    return replace(
        burst(),
        attached=True,
        process="bastion/4711",
        journal="/var/lib/agentdash/journal.jsonl",
        version="0.0.9",
    )


def nothing_at_all() -> Snapshot:
    """A fleet file without pools and tenants."""
    return scenarios.empty_fleet()


def hostile(text: str = HOSTILE_TEXT) -> Snapshot:
    """Every text from outside is this one, with escape sequences and markup."""
    snapshot = scenarios.hostile_fleet(text)
    pause = a_pause(scope=Scope(tenant=text), until=NOW + 60, who=text, why=text)
    tenant = replace(calm_tenants()[0], name=text, tier=text, namespace=text, pause=pause)
    key = snapshot.pools[0].key
    gpu = replace(ROOM.classes[1], name=text, nodes=(text,), typical=key)
    return replace(
        snapshot,
        tenants=(tenant,),
        queues=(replace(QUEUES[0], pool=key),),
        models=(replace(MODELS[0], key=text, draws=(draw(text, 3),)),),
        room=RoomView(classes=(gpu,), is_old=True, why=text),
        nodes=(cluster_node(text, text, 4, 8, text, closed=text),),
    )
