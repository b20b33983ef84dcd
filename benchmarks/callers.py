"""A mapper under many callers: ``python -m benchmarks.callers``.

One runtime, shared by 1, 4 and 16 threads that ask again as soon as they are answered. Writes
``callers.json``, ``callers.md`` and ``callers.png`` into ``--out``.
"""

import json
import os
import statistics
import threading
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import click
import torch

from benchmarks.report import machine
from benchmarks.timing import Run, interleave, ratio
from styleclip_rt import markdown
from styleclip_rt.runtime.mapper import MapperRuntime, Move

CALLERS = (1, 4, 16)


@dataclass(frozen=True)
class Load:
    """What callers met: answers a second, and seconds until an answer."""

    task: str
    callers: int
    answers: int
    throughput: float
    p50: float
    p99: float
    slowest: float


def under_load(task: str, run: Run, callers: int, seconds: float) -> Load:
    """Let `callers` threads call `run` again and again for about `seconds`."""
    waits: list[list[float]] = [[] for _ in range(callers)]
    start = threading.Barrier(callers + 1)
    end = 0.0

    def call(mine: list[float]) -> None:
        start.wait()
        while not mine or time.perf_counter() < end:
            begin = time.perf_counter()
            run()
            mine.append(time.perf_counter() - begin)

    threads = [threading.Thread(target=call, args=(mine,)) for mine in waits]
    for thread in threads:
        thread.start()
    begin = time.perf_counter()
    end = begin + seconds
    start.wait()
    for thread in threads:
        thread.join()
    elapsed = time.perf_counter() - begin
    every = sorted(wait for mine in waits for wait in mine)
    return Load(
        task=task,
        callers=callers,
        answers=len(every),
        throughput=len(every) / elapsed,
        p50=statistics.median(every),
        p99=every[min(len(every) - 1, int(0.99 * len(every)))],
        slowest=every[-1],
    )


def table(loads: Sequence[Load]) -> str:
    """A Markdown table of what callers met."""
    rows = []
    for load in loads:
        waits = (f"{1000 * wait:.2f}" for wait in (load.p50, load.p99, load.slowest))
        answered = (str(load.callers), str(load.answers), f"{load.throughput:.1f}")
        rows.append((load.task, *answered, *waits))
    head = ("task", "callers", "answers", "a second", "p50 ms", "p99 ms", "slowest ms")
    return markdown.table(head, rows)


def chart(loads: Sequence[Load], path: Path) -> None:
    """Throughput and waits against callers, one line a task."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(10, 4), layout="constrained")
    left, right = figure.subplots(1, 2)
    for task in dict.fromkeys(load.task for load in loads):
        mine = [load for load in loads if load.task == task]
        callers = [load.callers for load in mine]
        left.loglog(callers, [load.throughput for load in mine], "o-", label=task)
        (line,) = right.loglog(
            callers, [1000 * load.p50 for load in mine], "o-", label=f"{task} p50"
        )
        right.loglog(callers, [1000 * load.p99 for load in mine], "--", color=line.get_color())
    for axes, what in ((left, "answers a second"), (right, "ms until an answer (dashed: p99)")):
        axes.set_xlabel("callers")
        axes.set_ylabel(what)
        axes.set_xticks(CALLERS, [str(callers) for callers in CALLERS])
        axes.grid(alpha=0.3)
    left.legend()
    figure.savefig(path)


@click.command()
@click.argument("mapper", default="smiling")
@click.option("--prompt", default="", help="Of a mapper that has several.")
@click.option("--seconds", default=20.0, show_default=True, help="For each row.")
@click.option("--rounds", default=15, show_default=True, help="Of drawing with and without mapper.")
@click.option(
    "--out", type=click.Path(path_type=Path), default=Path("out/callers"), show_default=True
)
def main(mapper: str, prompt: str, seconds: float, rounds: int, out: Path) -> None:
    """Measure MAPPER alone, and with drawing the face at full size."""
    torch.set_num_threads(1)
    load_before = os.getloadavg()[0]
    runtime = MapperRuntime.from_bundle([mapper])
    moves, w_plus = [Move(mapper, prompt)], runtime.start([7])

    tasks: dict[str, Run] = {
        "mapper": lambda: runtime.latents(w_plus, moves),
        "drawing": lambda: runtime.draw(w_plus),
        "mapper + drawing": lambda: runtime.draw(runtime.latents(w_plus, moves)),
    }
    turns = interleave({name: tasks[name] for name in ("drawing", "mapper + drawing")}, rounds)
    share = ratio(turns["mapper + drawing"], turns["drawing"]) - 1
    loads = [
        under_load(name, tasks[name], callers, seconds)
        for name in ("mapper", "mapper + drawing")
        for callers in CALLERS
    ]
    out.mkdir(parents=True, exist_ok=True)
    result = {
        "mapper": mapper,
        "machine": machine() | {"load_before": round(load_before, 2), "threads_of_a_call": 1},
        "turns": {name: times.seconds for name, times in turns.items()},
        "mapper_adds": share,
        "loads": [asdict(load) for load in loads],
    }
    (out / "callers.json").write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")
    text = table(loads) + (
        f"\nOne caller, {rounds} rounds in turn: drawing takes "
        f"{1000 * turns['drawing'].median:.0f} ms, and {100 * share:+.1f} % with the mapper "
        f"(median of the ratios). Load of the machine before: {load_before:.1f}.\n"
    )
    (out / "callers.md").write_text(text, encoding="utf-8")
    chart(loads, out / "callers.png")
    click.echo(text)


if __name__ == "__main__":
    main()
