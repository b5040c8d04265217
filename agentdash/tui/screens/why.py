"""Why a pool has its number: the decision's steps, what was seen and how old, pods that wait."""

from __future__ import annotations

from typing import ClassVar

from textual.app import ComposeResult

from agentdash.tui.actions import Scope
from agentdash.tui.lines import Span, Tone, line
from agentdash.tui.screens.base import ViewScreen
from agentdash.tui.tables import PODS
from agentdash.tui.view import Scene, unready_pods
from agentdash.tui.why import decision_lines, gone_lines, now_lines, reading_lines, title_spans
from agentdash.tui.widgets.live_table import LiveTable, Table
from agentdash.tui.widgets.panel import Panel
from controller.model.observation import Pod


class WhyScreen(ViewScreen):
    """One pool, bound to its key: lists may move, this view does not change its subject."""

    VIEW: ClassVar[str] = "why"
    SCOPE: ClassVar[Scope] = Scope.WHY

    def __init__(self) -> None:
        super().__init__()
        self.pool = ""
        self.decision = Panel(id="decision")
        self.now = Panel(id="now")
        self.readings = Panel(id="readings")
        self.pods: LiveTable[Pod] = LiveTable(
            Table(
                "pods that are not ready",
                PODS,
                key=lambda pod: pod.name,
                haystack=lambda pod: f"{pod.name} {pod.phase} {pod.node}",
            ),
            id="pods",
        )

    def compose_body(self) -> ComposeResult:
        """A grid; the style sheet says where each panel goes."""
        yield self.decision
        yield self.now
        yield self.readings
        yield self.pods

    @property
    def subject(self) -> str | None:
        """The pool it is about."""
        return self.pool

    def draw_body(self, scene: Scene) -> None:
        """Fill the four panels."""
        row = scene.row(self.pool)
        if row is None:
            key, glyphs = self.pool, scene.glyphs
            self.decision.show_framed(
                lambda width, _: gone_lines(key, width),
                title=(Span("pool", Tone.TITLE),),
                glyphs=glyphs,
            )
            for panel, name in ((self.now, "now"), (self.readings, "readings")):
                title = (Span(name, Tone.TITLE),)
                panel.show_framed(lambda *_: (), title=title, glyphs=glyphs)
            self.pods.set_rows((), scene)
            return
        left, right = title_spans(row, scene)
        self.decision.show_framed(
            lambda width, height: decision_lines(row, scene, width, height),
            title=left,
            note=right,
            glyphs=scene.glyphs,
        )
        self.now.show_framed(
            lambda width, _: now_lines(row, scene, width),
            title=(Span("now", Tone.TITLE),),
            glyphs=scene.glyphs,
        )
        self.readings.show_framed(
            lambda width, _: reading_lines(row, scene, width),
            title=(Span("readings", Tone.TITLE),),
            glyphs=scene.glyphs,
        )
        all_ready = [line(Span(" every pod is ready", Tone.OK))]
        unknown = [line(Span(" the pods are not known", Tone.WARN))]
        self.pods.set_rows(
            unready_pods(row.pods), scene, unknown if row.pods is None else all_ready
        )
