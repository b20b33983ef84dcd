"""A running service under load: ``python -m benchmarks.service_load --url http://127.0.0.1:8000``.

Locust calls it (extra: bench) with 1, 4, 16, 64 and 256 callers in turn. Writes ``service.json``
and ``service.md`` into ``--out``: answers, refusals and failures, their times, and the processor
time and memory of the service.
"""

import json
import os
import re
import subprocess
import sys
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import click
import requests

from benchmarks.report import machine
from styleclip_rt import markdown

CALLERS = "1,4,16,64,256"
SCRIPT = Path(__file__).with_name("service_callers.py")


@dataclass(frozen=True)
class Load:
    """What callers met: answers a second, seconds until a look's, of the processor for one, and MB
    of the service's memory. Those are late that came after the caller's deadline."""

    callers: int
    answers: int
    uploads: int
    prompts: int
    refused: int
    failed: int
    late: int
    throughput: float
    p50: float
    p99: float
    longest: float
    cpu: float
    rss_before: float
    rss_after: float


def under_load(url: str, callers: int, seconds: int, size: str, mix: bool, wait: float) -> Load:
    """Let Locust's `callers` call for so many seconds, each ready to wait for `wait` of them."""
    before, cpu = measured(url, "resident_memory_bytes") / 1e6, measured(url, "cpu_seconds_total")
    command = [sys.executable, "-m", "locust", "-f", str(SCRIPT), "--host", url, "--headless"]
    command += ["-u", str(callers), "-r", str(callers), "-t", f"{seconds}s", "--json"]
    environment = os.environ | {"SIZE": size, "MIX": "yes" if mix else "no", "WAIT": f"{wait:g}"}
    done = subprocess.run(command, env=environment, stdout=subprocess.PIPE, text=True)
    rows = {row["name"]: row for row in json.loads(done.stdout)}
    nothing = {"num_requests": 0, "num_failures": 0, "response_times": {}}
    row = rows.get(f"look, {size}", nothing)
    refused = sum(rows.get(status, {}).get("num_requests", 0) for status in ("429", "503"))
    answers = row["num_requests"] - row["num_failures"]
    uploaded, prompted = (rows.get(name, nothing) for name in ("upload", "prompt"))
    uploads, prompts = (x["num_requests"] - x["num_failures"] for x in (uploaded, prompted))
    times = spread(row["response_times"]) or [float("nan")]
    timed = times + spread(uploaded["response_times"])
    return Load(
        callers=callers,
        answers=answers,
        uploads=uploads,
        prompts=prompts,
        refused=refused,
        failed=sum(each["num_failures"] for each in rows.values()),
        late=sum(time > wait for time in timed),
        throughput=answers / seconds,
        p50=times[len(times) // 2],
        p99=times[min(len(times) - 1, int(0.99 * len(times)))],
        longest=max(timed),
        cpu=(measured(url, "cpu_seconds_total") - cpu) / max(1, answers + uploads + prompts),
        rss_before=before,
        rss_after=measured(url, "resident_memory_bytes") / 1e6,
    )


def spread(times: dict[str, int]) -> list[float]:
    """Locust's counts by milliseconds -> all the times in seconds, in order."""
    counted = sorted((float(time), count) for time, count in times.items())
    return [time / 1000 for time, count in counted for _ in range(count)]


def measured(url: str, name: str) -> float:
    """What the service says of its process."""
    text = requests.get(f"{url}/metrics", timeout=60).text
    found = re.search(rf"^process_{name} (\S+)$", text, re.M)
    return float(found[1]) if found else float("nan")


def table(loads: list[Load]) -> str:
    """A Markdown table of what callers met."""
    head = (
        "callers",
        "looks",
        "uploads",
        "prompts",
        "refused",
        "failed",
        "late",
        "looks a second",
        "p50 s",
        "p99 s",
        "longest s",
        "CPU s each",
        "MB before, after",
    )
    rows = []
    for load in loads:
        asked = (load.callers, load.answers, load.uploads, load.prompts)
        counts = (*asked, load.refused, load.failed, load.late)
        figures = (load.throughput, load.p50, load.p99, load.longest, load.cpu)
        times = tuple(f"{figure:.2f}" for figure in figures)
        rows.append((*map(str, counts), *times, f"{load.rss_before:.0f}, {load.rss_after:.0f}"))
    return markdown.table(head, rows)


@click.command()
@click.option("--url", default="http://127.0.0.1:8000", show_default=True)
@click.option("--callers", default=CALLERS, show_default=True)
@click.option("--seconds", default=30, show_default=True, help="For each row.")
@click.option("--size", type=click.Choice(["full", "draft"]), default="full", show_default=True)
@click.option("--mix", is_flag=True, help="With a tenth each of prompts and photographs.")
@click.option("--wait", default=30.0, show_default=True, help="Seconds that a caller waits.")
@click.option(
    "--out", type=click.Path(path_type=Path), default=Path("out/service"), show_default=True
)
def main(
    url: str, callers: str, seconds: int, size: str, mix: bool, wait: float, out: Path
) -> None:
    """Measure the service at --url."""
    loads = [under_load(url, int(n), seconds, size, mix, wait) for n in callers.split(",")]
    out.mkdir(parents=True, exist_ok=True)
    about: dict[str, Any] = requests.get(f"{url}/v1/about", timeout=60).json()
    result = {"machine": machine(), "service": about, "size": size, "mix": mix, "wait": wait}
    result["loads"] = [asdict(load) for load in loads]
    (out / "service.json").write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")
    text = table(loads)
    (out / "service.md").write_text(text, encoding="utf-8")
    click.echo(text)


if __name__ == "__main__":
    main()
