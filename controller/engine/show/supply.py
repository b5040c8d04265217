"""Models and nodes as a snapshot shows them: what the targets draw on a model's limits and what is
refused; what each class of nodes holds, and what our pods take of it.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator
from typing import Final

from controller.engine.show.tenants import lesser, requested, total_of
from controller.model.decision import Bound, Code, Decision
from controller.model.fleet import Fleet, Pool
from controller.model.ids import PoolKey
from controller.model.observation import ClusterRoom, NodeState, PodPhase, PoolObservation
from controller.model.readings import Absent, Fresh, Reading, last_known
from controller.model.scarcity import LlmModel, Resources
from controller.model.snapshot import (
    ClusterNode,
    ModelDraw,
    ModelLimit,
    ModelView,
    NodeClassView,
    PoolView,
    RoomView,
)
from controller.planning.share.claims import KnownDraws
from controller.planning.share.reasons import planned_replicas
from controller.planning.share.rows import rate_key, rate_rows
from controller.planning.values import SharingError

# the planner's rows in the order in which they are shown, with their names and their limits
_ROWS: Final = {
    "rpm": ("requests", "requests_per_minute"),
    "tpm": ("tokens", "tokens_per_minute"),
    "itpm": ("input tokens", "input_tokens_per_minute"),
    "otpm": ("output tokens", "output_tokens_per_minute"),
    "parallel": ("parallel calls", "parallel"),
}
_REFUSED: Final = "refused"
_TOKENS: Final = ("input_tokens_per_minute", "output_tokens_per_minute")


class ModelViews:
    """Remembers each model's view: it is the same object until something of it changes."""

    def __init__(self, fleet: Fleet, draws: KnownDraws) -> None:
        self._draws = draws
        self._pools = {pool.key: pool for pool in fleet.pools}
        self._models: dict[str, tuple[LlmModel, str]] = {}
        self._key_of: dict[PoolKey, str] = {}
        models = self._by_name = {model.name: model for model in fleet.models}
        for pool in fleet.pools:
            model = models.get(pool.model or "")
            if model is not None:
                key = self._key_of[pool.key] = rate_key(model, pool.tenant)
                self._models[key] = model, "" if model.shared else pool.tenant
        for model in fleet.models:
            if model.shared:
                self._models.setdefault(model.name, (model, ""))
        self._usable = {key: _usable(key, model) for key, (model, _) in self._models.items()}
        self._parts: dict[str, dict[PoolKey, ModelDraw]] = {key: {} for key in self._models}
        self._rows: dict[PoolKey, str] = {}
        self._made: dict[PoolKey, dict[str, Counter[str]]] = {}
        self._changed = set(self._models)
        self._views: dict[str, ModelView] = {}
        self._shown: tuple[ModelView, ...] = ()

    def take(self, view: PoolView) -> None:
        """Take a pool's view that is another than before."""
        self._take_calls(view)
        key = self._key_of.get(view.key)
        if key is None:
            return
        row, refused = refused_by_rate(view.decision)
        draw = self._draws.of(self._pools[view.key], view.observation)
        replicas = planned_replicas(view.decision)
        part = ModelDraw(pool=view.key, replicas=replicas, is_known=False, refused=refused)
        if draw is not None:
            part = ModelDraw(
                pool=view.key,
                replicas=replicas,
                requests_per_minute=replicas * draw.calls,
                input_tokens_per_minute=replicas * draw.input_tokens,
                output_tokens_per_minute=replicas * draw.output_tokens,
                parallel=replicas * draw.slots,
                refused=refused,
            )
        if self._parts[key].get(view.key) != part or self._rows.get(view.key) != row:
            self._parts[key][view.key], self._rows[view.key] = part, row
            self._changed.add(key)

    def _take_calls(self, view: PoolView) -> None:
        """What the pool's workers report of every model that they call."""
        found: dict[str, Counter[str]] = {}
        reading = view.observation.workers
        workers = None if reading is None else last_known(reading)
        for demand in (
            (each for state in workers.states for each in state.demand) if workers else ()
        ):
            model = self._by_name.get(demand.model)
            key = "" if model is None else rate_key(model, view.tenant)
            if key in self._models:
                made = {name: getattr(demand, field) for name, field in _ROWS.values()}
                found.setdefault(key, Counter()).update(
                    {**made, _REFUSED: demand.refused_per_minute}
                )
        before = self._made.get(view.key, {})
        if found != before:
            self._made[view.key] = found
            self._changed |= before.keys() | found.keys()

    def views(self) -> tuple[ModelView, ...]:
        """Those of all models that pools use or may use, sorted by name."""
        if self._changed:
            for key in self._changed:
                self._views[key] = self._view(key)
            self._changed.clear()
            self._shown = tuple(self._views[key] for key in sorted(self._views))
        return self._shown

    def _view(self, key: str) -> ModelView:
        model, tenant = self._models[key]
        draws = tuple(self._parts[key].values())
        reported = [each[key] for each in self._made.values() if key in each]
        made = sum(reported, Counter[str]())
        return ModelView(
            key=key,
            model=model.name,
            tenant=tenant,
            limits=tuple(self._limits(key, model, draws)),
            draws=draws,
            calls_per_minute=made["requests"] if reported else None,
            refused_calls_per_minute=made[_REFUSED] if reported else None,
            made={name: made[name] for name, _ in _ROWS.values()} if reported else {},
        )

    def _limits(
        self, key: str, model: LlmModel, draws: tuple[ModelDraw, ...]
    ) -> Iterator[ModelLimit]:
        for row, (name, field) in _ROWS.items():
            limit = getattr(model.limits, field, None)
            if limit is None:
                continue
            parts = _TOKENS if field == "tokens_per_minute" else (field,)
            refused = (each.refused for each in draws if self._rows[each.pool] == f"{row}:{key}")
            yield ModelLimit(
                name=name,
                limit=limit,
                usable=self._usable[key].get(row, float(limit)),
                drawn=sum(getattr(each, part) for each in draws for part in parts),
                refused=sum(refused),
            )


def refused_by_rate(decision: Decision | None) -> tuple[str, int]:
    """The rate limit's row that decided the target, and the replicas it refused."""
    if decision is None or decision.bound is not Bound.RATE:
        return "", 0
    wanted, target = decision.recommendation, decision.target
    if wanted is None or target is None:
        return "", 0
    rows = [each.numbers.get("row") for each in decision.reasons if each.code is Code.RATE]
    return str(rows[-1] if rows else ""), max(wanted - target, 0)


def _usable(key: str, model: LlmModel) -> dict[str, float]:
    """What of each limit is used at most, by the row's name without its key."""
    if model.limits is None:
        return {}
    try:
        rows = rate_rows(key, model.limits)
    except SharingError:
        return {}  # the planner says why these limits cannot be shared by
    return {row.name.removesuffix(f":{key}"): float(row.capacity) for row in rows}


_GONE: Final = frozenset({PodPhase.FAILED, PodPhase.UNSCHEDULED})
_EVERYWHERE: Final = ""


class RoomViews:
    """Remembers the last view: it is the same object until the room or a pool's pods change."""

    def __init__(self, fleet: Fleet) -> None:
        self._pools = {pool.key: pool for pool in fleet.pools}
        self._all = fleet.pools
        self._limit = fleet.capacity.resources
        self._most = {each.name: each.max_nodes for each in fleet.capacity.node_classes}
        self._seen: dict[PoolKey, PoolObservation] = {}
        self._on_nodes: dict[PoolKey, Counter[str]] = {}
        self._each: dict[PoolKey, Resources] = {}
        self._reading: Reading[ClusterRoom] | None = None
        self._changed = True
        self._shown = RoomView()
        self._states: dict[str, NodeState] | None = None
        self._nodes: tuple[ClusterNode, ...] = ()

    def take(self, view: PoolView) -> None:
        """Take a pool's view that is another than before."""
        before, seen = self._seen.get(view.key), view.observation
        if before is not None and before.pods is seen.pods and before.workload is seen.workload:
            return
        self._seen[view.key] = seen
        pods = last_known(seen.pods)
        on_nodes = Counter(
            pod.node
            for pod in (() if pods is None else pods.items)
            if pod.node and pod.phase not in _GONE
        )
        each = requested(self._pools[view.key], seen, 1)
        if self._on_nodes.get(view.key) != on_nodes or self._each.get(view.key) != each:
            self._on_nodes[view.key], self._each[view.key] = on_nodes, each
            self._changed = True

    def view(self, reading: Reading[ClusterRoom]) -> RoomView:
        """The view of this room."""
        if reading is not self._reading or self._changed:
            self._reading, self._changed = reading, False
            found = self._made(reading)
            if found != self._shown:
                self._shown = found
        return self._shown

    def nodes(self, reading: Reading[ClusterRoom]) -> tuple[ClusterNode, ...]:
        """The nodes of this room, sorted by name: each is the same object until it changes."""
        room = last_known(reading)
        states = {} if room is None else room.states
        if room is None or states is not self._states:
            self._states = states
            known = {node.name: node for node in self._nodes}
            classes = {} if room is None else room.nodes
            found = (
                ClusterNode(
                    name=name,
                    node_class=classes.get(name, ""),
                    holds=state.holds or Resources(),
                    taints=state.taints,
                    closed=state.closed,
                )
                for name, state in sorted(states.items())
            )
            self._nodes = tuple(
                before if (before := known.get(node.name)) == node else node for node in found
            )
        return self._nodes

    def _made(self, reading: Reading[ClusterRoom]) -> RoomView:
        why = ""
        if not isinstance(reading, Fresh):
            words = reading.why.value.replace("_", " ")
            why = f"{words}: {reading.detail}" if reading.detail else words
        if isinstance(reading, Absent):
            if self._limit == Resources():
                return RoomView(why=why)
            everything = self._class(_EVERYWHERE, frozenset(), None, self._limit, self._all)
            return RoomView(classes=(everything,), why=why)
        return RoomView(classes=tuple(self._classes(reading.value)), is_old=bool(why), why=why)

    def _classes(self, room: ClusterRoom) -> Iterator[NodeClassView]:
        """All nodes together first; then each class, if there are any."""
        class_of = {name: chosen or _EVERYWHERE for name, chosen in room.nodes.items()}
        whole = frozenset(class_of)
        resources = lesser(self._limit, room.resources)
        yield self._class(_EVERYWHERE, whole, None, resources, self._all)
        for name, resources in room.classes.items():
            nodes = frozenset(node for node, chosen in class_of.items() if chosen == name)
            pools = [pool for pool in self._pools.values() if not pool.nodes or name in pool.nodes]
            yield self._class(name, nodes, self._most.get(name), resources, pools)

    def _class(
        self,
        name: str,
        nodes: frozenset[str],
        most: int | None,
        room: Resources,
        pools: Iterable[Pool],
    ) -> NodeClassView:
        # without the nodes' names (an older recording has none) every pod counts as on one of all
        counts = {
            key: sum(
                count
                for node, count in on_nodes.items()
                if node in nodes or (name == _EVERYWHERE and not nodes)
            )
            for key, on_nodes in self._on_nodes.items()
        }
        used = total_of(
            requested(self._pools[key], self._seen[key], count) for key, count in counts.items()
        )
        # with most pods there; the first of the fleet where several have as many
        typical = max(
            (pool.key for pool in pools), key=lambda key: counts.get(key, 0), default=None
        )
        return NodeClassView(
            name=name,
            nodes=tuple(sorted(nodes)),
            most_nodes=most,
            room=room,
            used=used,
            pods=sum(counts.values()),
            typical=typical,
            fits=None if typical is None else _fits(room, used, self._each.get(typical)),
        )


def _fits(room: Resources, used: Resources, each: Resources | None) -> int | None:
    """How many more of these replicas the room holds; None where that is not known."""
    if each is None or each.cpu_milli is None or each.memory_bytes is None:
        return None
    amounts = (
        (room.replicas, used.replicas, 1),
        (room.cpu_milli, used.cpu_milli, each.cpu_milli),
        (room.memory_bytes, used.memory_bytes, each.memory_bytes),
    )
    found: list[int] = []
    for there, taken, one in amounts:
        if there is None or taken is None:
            return None
        if one:
            found.append(max(there - taken, 0) // one)
    return min(found)
