"""Measure everything and write it down: ``python -m benchmarks.report``.

Writes ``benchmarks/results/<machine>-<date>.json`` as it goes; a run that was interrupted goes on
where it stopped when it is started again on the same day. At the end, or with ``--document``, it
draws ``docs/benchmarks.png`` and writes ``docs/BENCHMARKS.md`` from the newest results.
"""

import datetime
import functools
import importlib.metadata
import json
import multiprocessing
import os
import platform
import re
import statistics
import time
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import Any

import click
import numpy as np
import torch
from torch import Tensor
from tqdm import tqdm

from benchmarks import document, memory, peers, quality, roofline
from benchmarks.cases import Case, all_cases
from benchmarks.timing import Run, interleave
from styleclip_rt.devices import automatic_precision, keep_freed_memory

ROOT = Path(__file__).parents[1]
RESULTS = ROOT / "benchmarks" / "results"
MEMORY = ("textbook fp32", "stock bf16", "ours fp32", "ours bf16")
PACKAGES = ("styleclip-rt", "torch", "onnxruntime", "openvino", "onnx", "numpy")
HEAVY = 20.0
"""Seconds of a round from which three rounds have to do."""
FOREIGN = ("compiled", "ONNX", "OpenVINO")
DTYPES = {"fp32": torch.float32, "bf16": torch.bfloat16}
Results = dict[str, Any]


def precisions() -> tuple[tuple[str, ...], str]:
    """Those that the processor's instructions multiply, and a sentence on what is left out.

    Without such instructions PyTorch multiplies large bfloat16 matrices in a plain loop of one
    thread, for minutes, which says nothing of anybody's network.
    """
    automatic = automatic_precision(torch.device("cpu"))
    if automatic.name == "bf16":
        return ("fp32", "bf16"), ""
    return ("fp32",), f"bf16 is left out: {automatic.why}."


def cases_here() -> list[Case]:
    """All cases, with the candidates that this machine can run as they are meant."""
    known, _ = precisions()
    return [case.within(known) for case in all_cases()]


def machine() -> dict[str, Any]:
    """What the figures hold for: the processor and its cores; nothing that names the machine."""
    model = platform.processor() or platform.machine()
    flags: list[str] = []
    if Path("/proc/cpuinfo").exists():
        facts = dict(re.findall(r"^(.*?)\s*: (.*)$", Path("/proc/cpuinfo").read_text(), re.M))
        model, flags = facts.get("model name", model), facts.get("flags", "").split()
    wanted = ("avx2", "avx512f", "avx512_bf16", "amx_bf16", "avx_vnni")
    return {
        "cpu": model,
        "cores": torch.get_num_threads(),
        "instructions": [flag for flag in wanted if flag in flags],
        "system": platform.system(),
        "python": platform.python_version(),
        "versions": {name: _version(name) for name in PACKAGES},
    }


def _version(package: str) -> str | None:
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return None


def path_for(found: dict[str, Any], date: str) -> Path:
    """Where results of this machine and date lie."""
    name = re.sub(r"[^a-z0-9]+", "-", f"{found['cpu']} {found['cores']} cores".lower()).strip("-")
    return RESULTS / f"{name}-{date}.json"


def measure_apart(name: str, seconds: float, least: int, threads: int) -> Results:
    """`measure` in a process of its own, so that no case inherits another one's memory."""
    pool = ProcessPoolExecutor(1, mp_context=multiprocessing.get_context("spawn"))
    with pool:
        return pool.submit(_measure_named, name, seconds, least, threads).result()


def _measure_named(name: str, seconds: float, least: int, threads: int) -> Results:
    torch.set_num_threads(threads)
    keep_freed_memory()
    (case,) = (case for case in cases_here() if case.name == name)
    with tqdm(desc=name, bar_format="{desc}: {postfix}", leave=False) as bar:
        return measure(case, seconds, least, bar)


def measure(case: Case, seconds: float, least: int, bar: "tqdm[Any]") -> Results:
    """Time all candidates in turn, for about ``seconds`` but ``least`` rounds at least."""
    load = os.getloadavg()[0]
    runs, warm_up = prepare_all(case, bar)
    first = interleave(runs, rounds=1, warmup=0, after=bar.set_postfix_str)
    round_seconds = sum(times.median for times in first.values())
    least = least if round_seconds < HEAVY else min(least, 3)
    rounds = min(max(round(seconds / round_seconds), least), 20) - 1
    more = interleave(runs, rounds=rounds, warmup=0, after=bar.set_postfix_str)
    result: Results = {
        "subject": case.subject,
        "task": case.task,
        "size": case.size,
        "batch": case.batch,
        "load_before": round(load, 2),
        **warm_up,
        "seconds": {name: [*first[name].seconds, *more[name].seconds] for name in runs},
        "work": {
            dtype: [[work.flops, work.bytes] for work in works]
            for dtype, works in case.work.items()
        },
    }
    if not case.work and case.task != "edit":
        result["flops"] = roofline.count_flops(runs["stock fp32"])
    return result


def median_peak(name: str, threads: int) -> float:
    """Bytes; of three processes, as the C library's heap is never twice the same."""
    return statistics.median(memory.peak_bytes(name, threads) for _ in range(3))


def prepare_all(case: Case, bar: "tqdm[Any]") -> tuple[dict[str, Run], Results]:
    """Make all candidates ready and run each once.

    Returns the runs, and by candidate "prepare": seconds until after its first run (for a compiled
    one that is compiling), "error": against ours in float32, "failed": why it cannot run here.
    """
    runs: dict[str, Run] = {}
    seconds: dict[str, float] = {}
    errors: dict[str, float] = {}
    failed: dict[str, str] = {}
    exact: object = None
    for name, prepare in case.candidates.items():
        bar.set_postfix_str(f"{name}: preparing")
        begin = time.perf_counter()
        try:
            run = prepare()
            output = run()
        except Exception as problem:
            # Other engines may be missing or refuse a network: the page says so. Ours may not.
            if not name.startswith(FOREIGN):
                raise
            failed[name] = f"{type(problem).__name__}: {problem}".splitlines()[0]
            continue
        runs[name], seconds[name] = run, time.perf_counter() - begin
        exact = output if name == "ours fp32" else exact
        error = relative_error(output, exact)
        if error is not None:
            errors[name] = error
    return runs, {"prepare": seconds, "error": errors, "failed": failed}


def relative_error(output: object, exact: object) -> float | None:
    """Root mean square of the difference over that of the exact; None where it is no array."""
    arrays = [
        torch.as_tensor(each).double() if isinstance(each, Tensor | np.ndarray) else None
        for each in (output, exact)
    ]
    if arrays[0] is None or arrays[1] is None:
        return None
    return float((arrays[0] - arrays[1]).norm() / arrays[1].norm())


def write(path: Path, results: Results) -> None:
    """Whole or not at all."""
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_suffix(".part")
    part.write_text(json.dumps(results, indent=1) + "\n", encoding="utf-8")
    part.replace(path)


def newest() -> Path:
    """The newest CPU results.

    Raises:
        click.ClickException: there are none.
    """
    written = [p for p in RESULTS.glob("*-cores-*.json")]
    if not written:
        raise click.ClickException("There are no results yet; run python -m benchmarks.report.")
    return max(written, key=lambda p: p.stem[-10:])


# Compiled code is kept beside the exports, so that a second run need not compile.
os.environ.setdefault("TORCHINDUCTOR_CACHE_DIR", str(peers.CACHE / "inductor"))


@click.command()
@click.option("--only", default="", help="Measure only cases whose name matches this expression.")
@click.option("--fresh", is_flag=True, help="Measure anew what today's results have already.")
@click.option("--prepare", is_flag=True, help="Only compile and export, to shorten a run.")
@click.option("--document", "only_document", is_flag=True, help="Only write chart and tables.")
@click.option("--threads", default=os.cpu_count() or 1, help="Threads for every candidate.")
@click.option("--seconds", default=4.0, help="Aim for a case; heavy ones take longer.")
@click.option("--rounds", default=7, help="Fewest rounds of a case; 3 where one takes over 20 s.")
def main(
    only: str,
    fresh: bool,
    prepare: bool,
    only_document: bool,
    threads: int,
    seconds: float,
    rounds: int,
) -> None:
    """Measure speed and memory against the comparators; write results, tables and chart."""
    if only_document:
        document.write(json.loads(newest().read_text(encoding="utf-8")), ROOT / "docs")
        return
    torch.set_num_threads(threads)
    keep_freed_memory()
    found = machine()
    cases = [case for case in cases_here() if re.search(only, case.name)]
    known, left_out = precisions()
    if left_out:
        click.echo(left_out)
    if prepare:
        prepared = [
            (case.name, name, make)
            for case in cases
            for name, make in case.candidates.items()
            if name.startswith(FOREIGN)
        ]
        with tqdm(prepared, unit="candidate") as progress:
            for case_name, name, make in progress:
                progress.set_description(f"{case_name}: {name}")
                try:
                    make()()
                except Exception as problem:
                    tqdm.write(f"{case_name}: {name} failed: {problem}")
        return
    path = path_for(found, datetime.datetime.now(datetime.timezone.utc).date().isoformat())
    results: Results = {"date": path.stem[-10:], "machine": found, "peaks": {}, "cases": []}
    results |= {"memory": {}, "psnr": {}}
    if path.exists() and not fresh:
        results = json.loads(path.read_text(encoding="utf-8"))
    results["left_out"] = left_out
    _peaks(results, known)
    done = {_name(case) for case in results["cases"]}
    bar = tqdm([case for case in cases if case.name not in done], unit="case")
    for case in bar:
        bar.set_description(case.name)
        results["cases"].append(measure_apart(case.name, seconds, rounds, threads))
        write(path, results)
        tqdm.write(document.line(results["cases"][-1]))
    jobs: list[tuple[str, str, Callable[[], float]]] = [
        ("memory", name, functools.partial(median_peak, name, threads))
        for name in MEMORY
        if name.rsplit(" ", 1)[1] in known
    ]
    if "bf16" in known:
        jobs += [
            ("psnr", name, functools.partial(quality.psnr_of_bf16, name))
            for name in ("StyleGAN2", "MobileStyleGAN")
        ]
    if not only:
        for group, name, job in tqdm(jobs, desc="memory and quality", unit="job"):
            if name not in results[group]:
                results[group][name] = job()
                write(path, results)
    _peaks(results, known)
    order = {case.name: index for index, case in enumerate(all_cases())}
    results["cases"].sort(key=lambda case: order.get(_name(case), len(order)))
    write(path, results)
    document.write(results, ROOT / "docs")
    click.echo(f"Wrote {path.relative_to(ROOT)}, docs/BENCHMARKS.md and docs/benchmarks.png.")


def _name(case: Results) -> str:
    return f"{case['subject']} {case['size']}, batch {case['batch']}, {case['task']}"


def _peaks(results: Results, known: tuple[str, ...]) -> None:
    """Measure the peaks in the known precisions; the best of all times that a run looked counts."""
    peaks, before = roofline.measure_peaks(DTYPES[name] for name in known), results["peaks"]
    flops = before.get("flops", {})
    results["peaks"] = {
        "flops": {k: max(v, flops.get(k, 0.0)) for k, v in peaks.flops.items()},
        "copy": max(peaks.copy, before.get("copy", 0.0)),
    }


if __name__ == "__main__":
    main()
