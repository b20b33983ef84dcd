"""What the service tells of itself, for Prometheus."""

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, ProcessCollector

SECONDS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60)


class Metrics:
    """One registry an app, so that a process may hold several.

    Attributes:
        requests: answered, by route and status.
        seconds: from a request to the end of its answer, by route.
        waiting: jobs in the queue, by kind.
        waits: seconds in the queue, by kind.
        batches: jobs done at once, by kind.
        stages: seconds of a stage ("run", "finish") of a kind of job.
        refusals: by reason.
    """

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        # Memory, CPU seconds and open files.
        ProcessCollector(registry=self.registry)
        self.requests = Counter(
            "styleclip_requests", "Answers", ("route", "status"), registry=self.registry
        )
        self.seconds = self._histogram("styleclip_request_seconds", "Until answered", ("route",))
        self.waiting = Gauge(
            "styleclip_queue_jobs", "Jobs that wait", ("kind",), registry=self.registry
        )
        self.waits = self._histogram("styleclip_queue_wait_seconds", "In the queue", ("kind",))
        self.batches = Histogram(
            "styleclip_batch_jobs",
            "Jobs done at once",
            ("kind",),
            registry=self.registry,
            buckets=(1, 2, 4, 8, 16, 32, 64),
        )
        self.stages = self._histogram("styleclip_stage_seconds", "Of a stage", ("kind", "stage"))
        self.refusals = Counter(
            "styleclip_refusals", "Requests refused", ("reason",), registry=self.registry
        )

    def _histogram(self, name: str, said: str, labels: tuple[str, ...]) -> Histogram:
        return Histogram(name, said, labels, registry=self.registry, buckets=SECONDS)
