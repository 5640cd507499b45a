"""What operators watch, as Prometheus metrics of this process. Labels hold names of ours, never ids or personal data."""

from prometheus_client import CollectorRegistry, Counter, Gauge, generate_latest


class Metrics:
    """The counters of one process, in a registry of their own (several processes of a test share an interpreter)."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()

        def counter(name: str, text: str, *labels: str) -> Counter:
            return Counter(f"zoho_gocardless_{name}", text, labels, registry=self.registry)

        self.deliveries = counter("deliveries", "Webhooks accepted", "api")
        self.refused = counter("refused_webhooks", "Webhooks refused", "api", "reason")
        self.events = counter("events", "Events processed by the core")
        self.undecodable = counter("undecodable_records", "Records on the events topic that are not events")
        self.parked_pieces = counter("parked_pieces", "Pieces of deliveries that could not be read")
        self.decisions = counter("decisions", "Decisions published")
        self.set_aside = counter("set_aside", "Connections set aside because a rule raised")
        self.calls = counter("calls", "Calls to an API", "api", "result")
        self.polls = counter("polls", "Walks over a list of an API", "kind")
        self.clock_refused = Gauge("zoho_gocardless_clock_refused", "1 while the clock stage refuses to go on", registry=self.registry)

    def text(self) -> bytes:
        """All of them in Prometheus' text format."""
        return generate_latest(self.registry)
