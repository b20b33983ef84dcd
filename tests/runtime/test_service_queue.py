import threading
import time
from collections.abc import Callable, Sequence
from typing import Any

import pytest

pytest.importorskip("prometheus_client")
pytest.importorskip("fastapi")

from styleclip_rt.runtime.service.jobs import Job
from styleclip_rt.runtime.service.metrics import Metrics
from styleclip_rt.runtime.service.problems import Problem
from styleclip_rt.runtime.service.queue import Kind, Queue


class Work:
    """A queue whose worker stands still until `gate` is set, and what it did."""

    def __init__(self, quick: int = 8, long: int = 2, together: int = 1) -> None:
        self.gate, self.did, self.batches = threading.Event(), list[str](), list[int]()
        self.metrics = Metrics()
        self.queue = Queue(quick, long, self.metrics)
        self.queue.serve(
            {
                "gate": Kind(self._wait, _same, 1),
                "quick": Kind(self._run, _same, 1, together=together),
                "full": Kind(self._run, _same, 2, behind=1),
                "long": Kind(self._steps, _same, 1, behind=10, long=True),
            }
        )

    def _wait(self, jobs: Sequence[Job]) -> list[Any]:
        self.gate.wait(20)
        return [None] * len(jobs)

    def _run(self, jobs: Sequence[Job]) -> list[Any]:
        self.batches.append(len(jobs))
        self.did += [job.request for job in jobs]
        return [error if (error := job.request) == "fails" else job.request for job in jobs]

    def _steps(self, jobs: Sequence[Job]) -> list[Any]:
        (job,) = jobs
        for step in range(3):
            self.did.append(f"{job.request} {step}")
            if callable(between := getattr(job, "between", None)):
                between(step)
            self.queue.step(job, step, 3)
        return [job.request]

    def submit(self, kind: str, request: str = "", **more: Any) -> Job:
        job = Job(kind, request, **more)
        self.queue.submit(job)
        return job

    def hold(self) -> Job:
        job = self.submit("gate")
        _until(lambda: job.state == "running")
        return job


def _same(job: Job, result: Any) -> Any:
    return result


def _until(true: Callable[[], bool]) -> None:
    end = time.monotonic() + 20
    while not true() and time.monotonic() < end:
        time.sleep(0.005)
    assert true()


def test_quick_work_goes_first() -> None:
    work = Work()
    work.hold()
    jobs = [work.submit(kind, kind) for kind in ("long", "full", "quick")]
    work.gate.set()
    assert [job.future.result(20) for job in jobs] == ["long", "full", "quick"]
    assert work.did == ["quick", "full", "long 0", "long 1", "long 2"]


def test_quick_work_passes_between_the_steps_of_long_work() -> None:
    work = Work()
    long = Job("long", "long")
    passing: list[Job] = []

    def between(step: int) -> None:
        if step == 1:
            passing.append(work.submit("quick", "quick"))

    long.between = between  # type: ignore[attr-defined]
    work.queue.submit(long)
    assert long.future.result(20) == "long"
    assert passing[0].future.result(20) == "quick"
    assert work.did == ["long 0", "long 1", "quick", "long 2"]


def test_one_kind_is_done_in_one_batch() -> None:
    work = Work(together=3)
    work.hold()
    jobs = [work.submit("quick", str(i)) for i in range(4)]
    work.gate.set()
    assert [job.future.result(20) for job in jobs] == ["0", "1", "2", "3"]
    assert work.batches == [3, 1]


def test_a_full_queue_says_when_to_come_back() -> None:
    work = Work(quick=2)
    work.hold()
    for _ in range(2):
        work.submit("quick")
    with pytest.raises(Problem, match="2 requests wait") as refused:
        work.submit("quick")
    assert refused.value.status_code == 429
    # One of each second: what runs and the two that wait.
    assert refused.value.headers is not None
    assert 2 <= int(refused.value.headers["Retry-After"]) <= 3
    work.submit("long")
    work.gate.set()


def test_what_cannot_be_there_in_time_is_refused_at_once() -> None:
    work = Work()
    work.hold()
    for _ in range(3):
        work.submit("quick")
    with pytest.raises(Problem, match="longer than you wait"):
        work.submit("quick", deadline=time.monotonic() + 2)
    in_time = work.submit("quick", "in time", deadline=time.monotonic() + 20)
    late = work.submit("quick", "late", deadline=time.monotonic() + 6)
    late.deadline = time.monotonic()
    work.gate.set()
    assert in_time.future.result(20) == "in time"
    with pytest.raises(Problem, match="too late"):
        late.future.result(20)
    assert "late" not in work.did


def test_long_work_that_waits_does_not_have_quick_work_refused() -> None:
    work = Work()
    work.hold()
    for _ in range(2):
        work.submit("long", "long", weight=100).rank -= 100
    quick = work.submit("quick", "quick", deadline=time.monotonic() + 20)
    work.gate.set()
    assert quick.future.result(20) == "quick"
    assert work.did.index("quick") == 1, "after the first step"


def test_an_estimate_that_refuses_all_comes_down_again() -> None:
    work = Work()
    for _ in range(60):
        try:
            job = work.submit("quick", "done", deadline=time.monotonic() + 0.05)
        except Problem:
            continue
        break
    _until(lambda: job.over)
    assert "done" in work.did


def test_long_work_that_is_passed_too_often_ends_at_its_deadline() -> None:
    work = Work()
    late = Job("long", "late", deadline=time.monotonic() + 20)

    def between(step: int) -> None:
        late.deadline = time.monotonic()

    late.between = between  # type: ignore[attr-defined]
    work.queue.submit(late)
    with pytest.raises(Problem, match="too late") as refused:
        late.future.result(20)
    assert refused.value.status_code == 503 and work.did == ["late 0"]


def test_cancelled_work_costs_nothing_or_a_step() -> None:
    work = Work()
    work.hold()
    waiting, running = work.submit("quick", "waiting"), Job("long", "long")
    work.queue.cancel(waiting)
    assert waiting.state == "cancelled"
    running.between = lambda step: work.queue.cancel(running)  # type: ignore[attr-defined]
    work.queue.submit(running)
    work.gate.set()
    with pytest.raises(Problem, match="cancelled"):
        running.future.result(20)
    assert running.state == "cancelled"
    assert work.did == ["long 0"]


def test_what_fails_is_told_and_the_next_is_done() -> None:
    work = Work()

    def broken(jobs: Sequence[Job]) -> list[Any]:
        raise RuntimeError("a defect")

    work.queue.serve({"bad": Kind(broken, _same, 1), "quick": Kind(work._run, _same, 1)})
    with pytest.raises(Problem, match="its log says how"):
        work.submit("bad").future.result(20)
    assert work.submit("quick", "next").future.result(20) == "next"


def test_draining_ends_what_was_taken_and_takes_no_more() -> None:
    work = Work()
    work.hold()
    taken = work.submit("quick", "taken")
    threading.Timer(0.1, work.gate.set).start()
    assert work.queue.drain(20)
    assert taken.future.result(0) == "taken"
    with pytest.raises(Problem, match="about to end") as refused:
        work.submit("quick")
    assert refused.value.status_code == 503


def test_draining_cancels_what_takes_too_long() -> None:
    work = Work()
    work.hold()
    waiting = work.submit("quick")
    assert not work.queue.drain(0.05)
    assert waiting.state == "cancelled"
    work.gate.set()
