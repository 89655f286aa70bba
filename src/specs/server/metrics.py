"""Metrics that Prometheus reads at `/metrics`."""

from __future__ import annotations

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest

from specs.server.access_log import dropped_lines
from specs.server.queue import SolveQueue
from specs.types import Finish, Phase, Result

SECONDS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 25, 50, 100, 250)
PHASES = ("draft", "target_generate", "target_score", "prm", "orchestration")
KINDS = ("processed", "cached", "generated", "discarded", "speculated")


class Metrics:
    """Counters and histograms of one server; labels hold its own model names and routes, not clients' words."""

    def __init__(self, queue: SolveQueue) -> None:
        self.registry = registry = CollectorRegistry()
        self.requests = Counter(
            "specs_requests", "Requests by route and status", ["route", "status"], registry=registry
        )
        self.rejected = Counter("specs_rejected", "Refused requests, by reason", ["reason"], registry=registry)
        self.solves = Counter(
            "specs_solves", "Solves by model and finish reason", ["model", "finish"], registry=registry
        )
        self.failed = Counter("specs_failed", "Solves that failed with an engine error", ["model"], registry=registry)
        self.steps = Counter(
            "specs_steps",
            "Steps by writer and outcome; rewritten steps are thrown away",
            ["writer", "outcome"],
            registry=registry,
        )
        self.tokens = Counter("specs_tokens", "Token positions by role", ["role", "kind"], registry=registry)
        self.thinking_tokens = Counter(
            "specs_thinking_tokens", "Tokens of the thinking before answers, by writer", ["writer"], registry=registry
        )
        self.seconds = Histogram(
            "specs_solve_seconds",
            "Seconds of a solve, without the queue",
            ["model"],
            buckets=SECONDS,
            registry=registry,
        )
        self.queued = Histogram("specs_queue_seconds", "Seconds in the queue", buckets=SECONDS, registry=registry)
        self.first = Histogram(
            "specs_first_step_seconds",
            "Seconds to the first step, without the queue",
            buckets=SECONDS,
            registry=registry,
        )
        self.phases = Histogram(
            "specs_step_seconds",
            "Busy seconds of a step by phase; phases overlap",
            ["phase"],
            buckets=SECONDS,
            registry=registry,
        )
        Gauge("specs_waiting", "Solves in the queue", registry=registry).set_function(lambda: queue.waiting)
        dropped = Gauge("specs_log_lines_dropped", "Log lines that nobody read", registry=registry)
        dropped.set_function(dropped_lines)
        Gauge("specs_running", "Running solves", registry=registry).set_function(lambda: queue.running)

    def record_solve(self, model: str, result: Result, queue_s: float) -> None:
        """Add an ended solve to all metrics."""
        self.solves.labels(model, str(result.finish_reason)).inc()
        if result.finish_reason is Finish.ERROR:
            self.failed.labels(model).inc()
        self.seconds.labels(model).observe(result.latency_s)
        self.queued.observe(queue_s)
        if result.time_to_first_step_s is not None:
            self.first.observe(result.time_to_first_step_s)
        for record in result.steps:
            self.steps.labels(str(record.writer), "accepted" if record.accepted else "rewritten").inc()
            if record.phase is Phase.THINKING and record.accepted and record.step is not None:
                self.thinking_tokens.labels(str(record.writer)).inc(len(record.step.token_ids))
        for seconds in (*(record.seconds for record in result.steps), result.unfinished):
            for phase in PHASES:
                if busy := getattr(seconds, phase):
                    self.phases.labels(phase).observe(busy)
        for role, use in result.usage.items():
            for kind in KINDS:
                self.tokens.labels(str(role), kind).inc(getattr(use, kind))

    def text(self) -> bytes:
        """All metrics in Prometheus' text format."""
        return generate_latest(self.registry)
