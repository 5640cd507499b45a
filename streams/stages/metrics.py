"""What operators watch, as Prometheus metrics of this process; `docs/metrics.md` says what each is for.

Labels hold names of ours (an API, a topic, a state, a class of errors), never ids, personal data or names of
connections.
"""

from collections.abc import Callable
from functools import cache
from importlib.metadata import version
from time import monotonic
from typing import Final

from prometheus_client import CollectorRegistry, Counter, Gauge, generate_latest

from projections.backlog import Backlog

#: Real seconds for which a failed append is held against this process. Lower: who balances the load sends it webhooks
#: that it must refuse. Higher: it gets none for longer, though the log takes them again.
APPEND_TROUBLE_S: Final = 30.0


class Metrics:
    """The metrics of one process, in a registry of their own (several processes of a test share an interpreter).
    `role`: that of the process, as `run --role` has it.
    """

    def __init__(self, role: str = "all", monotonic_s: Callable[[], float] = monotonic) -> None:
        self._monotonic_s = monotonic_s
        self.registry = CollectorRegistry()

        def counter(name: str, text: str, *labels: str) -> Counter:
            return Counter(f"zoho_gocardless_{name}", text, labels, registry=self.registry)

        def gauge(name: str, text: str, *labels: str) -> Gauge:
            return Gauge(f"zoho_gocardless_{name}", text, labels, registry=self.registry)

        self.deliveries = counter("deliveries", "Webhooks accepted", "api")
        self.refused = counter("refused_webhooks", "Webhooks refused", "api", "reason")
        self.events = counter("events", "Events processed by the core")
        self.undecodable = counter("undecodable_records", "Records on the events topic that are not events")
        self.parked_pieces = counter("parked_pieces", "Pieces of deliveries that could not be read")
        self.decisions = counter("decisions", "Decisions published")
        self.set_aside = counter("set_aside", "Connections set aside because a rule raised")
        self.calls = counter("calls", "Calls to an API", "api", "result")
        self.ignored_headers = counter(
            "ignored_headers", "Headers of answers whose value is out of bounds", "api", "header"
        )
        self.polls = counter("polls", "Walks over a list of an API", "kind")
        self.clock_faults = counter("clock_faults", "Connections whose state the clock stage could not work with")
        self.clock_refused = gauge("clock_refused", "1 while the clock stage refuses to go on")

        self.info = gauge("info", "1; the labels say what runs here", "role", "version")
        self.info.labels(role, _version()).set(1)

        self.append_failures = counter("append_failures", "Appends that the log did not take", "reason")
        self.producer_replacements = counter(
            "producer_replacements", "Producers given up after a failed append, and replaced"
        )
        self.store_errors = counter("store_errors", "Failures of the store that did not end the process", "reason")

        self.partitions = gauge("consumer_partitions", "Partitions that this process consumes")
        self.lag = gauge("consumer_lag_records", "Records not handled yet", "topic", "partition")
        self.still = gauge(
            "consumer_still_seconds", "Time since the position last moved while records wait", "topic", "partition"
        )
        self.log_silent = gauge("log_silent_seconds", "Time for which the log has answered nothing; 0 while it answers")
        self.group_silent = gauge("group_silent_seconds", "Time since the group's coordinator last answered")

        self.leases = gauge("leases_held", "Connections whose calls are this process's to make", "api")
        self.outbox = gauge("outbox_decisions", "Decisions that wait to be published")
        self.queue = gauge("queue_commands", "Commands that wait or are being called", "api", "state")
        self.queue_overdue = gauge("queue_overdue_seconds", "Time by which the oldest due command is overdue", "api")
        self.polls_overdue = gauge(
            "polls_overdue_seconds", "Time by which a list's most overdue walk is overdue", "kind"
        )
        self.standing = gauge("standing_still", "Connections set aside, and APIs to catch up with", "kind")
        self.backlog_age = gauge("store_figures_age_seconds", "Time since the figures from the store were read")

        self._failed_append: tuple[str, float] | None = None
        self._replaced = 0

    def append_failed(self, error: Exception) -> None:
        """The log did not take an append."""
        reason = type(error).__name__
        self.append_failures.labels(reason).inc()
        self._failed_append = (reason, self._monotonic_s())

    def appended(self) -> None:
        """The log took an append."""
        self._failed_append = None

    def append_trouble(self) -> str:
        """Why the last append failed, "" when it did not, or when that is long past."""
        if self._failed_append is None or self._monotonic_s() - self._failed_append[1] > APPEND_TROUBLE_S:
            return ""
        return self._failed_append[0]

    def replaced(self, total: int) -> None:
        """How many producers the log has given up since its start."""
        self.producer_replacements.inc(max(total - self._replaced, 0))
        self._replaced = total

    def store_failed(self, error: Exception) -> None:
        """The store failed, and the process goes on."""
        self.store_errors.labels(type(error).__name__).inc()

    def show(self, backlog: Backlog) -> None:
        """Take over what the store holds."""
        self.outbox.set(backlog.outbox)
        for (api, state), count in backlog.queue.items():
            self.queue.labels(api, state).set(count)
        for api, seconds in backlog.queue_overdue_s.items():
            self.queue_overdue.labels(api).set(seconds)
        self.polls_overdue.clear()
        for kind, seconds in backlog.polls_overdue_s.items():
            self.polls_overdue.labels(kind).set(seconds)
        self.standing.labels("set_aside").set(backlog.set_aside)
        self.standing.labels("catch_up").set(backlog.catch_ups)

    def text(self) -> bytes:
        """All of them in Prometheus' text format."""
        return generate_latest(self.registry)


@cache
def _version() -> str:
    """Of this program. It is read from the files of its package, which takes longer than all metrics together."""
    return version("zoho-gocardless")
