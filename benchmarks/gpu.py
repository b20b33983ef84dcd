"""What the GPU does: each op against its bandwidth floor, the networks, the step and a whole edit.

``python -m benchmarks.gpu``, or `benchmarks/gpu_check.sh`, which builds and tests first. Writes
results/gpu-<device>-<time>.json after every part, so that a part that fails takes none with it.
"""

import argparse
import contextlib
import datetime
import json
import re
import statistics
import sys
import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from tqdm import tqdm

from benchmarks import networks, roofline
from benchmarks.cases import NEUTRAL, PROMPT, autocast, backward, forward, stock
from benchmarks.editing import Edit
from benchmarks.textbook import TextbookStep, TextbookStyleGAN2
from benchmarks.timing import Run, interleave, ratio
from styleclip_rt import ops
from styleclip_rt.bundle import Bundle, Manifest
from styleclip_rt.editing.step import StepState
from styleclip_rt.errors import StyleClipError
from styleclip_rt.models.tokenizer import tokenize
from styleclip_rt.ops import _library
from styleclip_rt.runtime.cuda_graph import CudaGraph
from styleclip_rt.runtime.editor import Editor
from styleclip_rt.runtime.torch_edits import TorchRun
from styleclip_rt.settings import EditSettings

FOLDER = Path(__file__).parent / "results"
SIZE = 1024
DTYPES = (torch.float32, torch.float16, torch.bfloat16)
Rows = list[dict[str, Any]]


def machine() -> dict[str, Any]:
    """The device and the software that ran it."""
    device = torch.cuda.get_device_properties(0)
    return {
        "device": device.name,
        "compute_capability": f"{device.major}.{device.minor}",
        "multiprocessors": device.multi_processor_count,
        "memory_bytes": device.total_memory,
        "python": sys.version.split()[0],
        "torch": torch.__version__,
        "cuda": torch.version.cuda,
        "cudnn": torch.backends.cudnn.version(),  # type: ignore[no-untyped-call]
    }


def milliseconds(run: Run, seconds: float = 0.3) -> dict[str, float]:
    """Of one run on the device, launched from a CUDA graph so that the host costs nothing."""
    stream = torch.cuda.Stream()  # type: ignore[no-untyped-call]
    with torch.cuda.stream(stream):
        for _ in range(3):
            run()
    torch.cuda.synchronize()
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        run()
    times: list[float] = []
    end = time.perf_counter() + seconds
    while len(times) < 10 or time.perf_counter() < end:
        event = partial(torch.cuda.Event, enable_timing=True)
        start, stop = event(), event()
        start.record()
        graph.replay()
        stop.record()
        stop.synchronize()
        times.append(start.elapsed_time(stop))
    return {"median_ms": statistics.median(times), "min_ms": min(times), "max_ms": max(times)}


def op_rows(peaks: roofline.Peaks) -> Rows:
    """Ops bound by memory, at StyleGAN2's last layers: larger than any cache."""
    compiled: Any = torch.ops.styleclip_rt
    rows: Rows = []
    if not _library.load():
        raise RuntimeError("the compiled ops are missing")

    def time_op(name: str, dtype: torch.dtype, moved: int, run: Run) -> None:
        row: dict[str, Any] = {"op": name, "dtype": str(dtype).removeprefix("torch.")}
        try:
            times = milliseconds(run)
            reached = moved / times["median_ms"] * 1000
            share = reached / peaks.copy
            row |= {"bytes": moved, "bytes_per_s": reached, "share_of_copy": share, **times}
        except Exception as error:  # One op must not take the others with it.
            row["error"] = f"{type(error).__name__}: {error}"[:500]
        rows.append(row)

    kernel = ops.resample_kernel().cuda()
    bias = torch.linspace(-1, 1, 32, device="cuda")
    for dtype in DTYPES:
        x = torch.randn(4, 32, SIZE, SIZE, device="cuda").to(
            dtype, memory_format=torch.channels_last
        )
        wide = torch.randn(4, 32, SIZE + 1, SIZE + 1, device="cuda").to(
            dtype, memory_format=torch.channels_last
        )
        waves = torch.randn(4, 128, SIZE // 2, SIZE // 2, device="cuda").to(
            dtype, memory_format=torch.channels_last
        )
        size = x.nbytes
        time_op("bias_act", dtype, 2 * size, partial(compiled.bias_act, x, bias, 0.2, 1.4, None))
        time_op(
            "bias_act_backward",
            dtype,
            3 * size,
            partial(compiled.bias_act_backward, x, -x, 0.2, 1.4, None),
        )
        time_op("idwt2d", dtype, 2 * size, partial(compiled.idwt2d, waves))
        time_op("dwt2d", dtype, 2 * size, partial(compiled.dwt2d, x))
        time_op(
            "upfirdn2d, blur",
            dtype,
            2 * size,
            partial(compiled.upfirdn2d, wide, kernel, 1, 1, [1, 1, 1, 1], 4.0, False),
        )
        del x, wide, waves
    image = torch.randn(16, 3, SIZE, SIZE, device="cuda")
    half = torch.randn(16, 3, SIZE // 2, SIZE // 2, device="cuda")
    small = torch.randn(16, 3, 224, 224, device="cuda")
    whole, out = [0, 0, SIZE, SIZE], [224, 224]
    time_op(
        "upfirdn2d, image",
        torch.float32,
        image.nbytes + half.nbytes,
        lambda: compiled.upfirdn2d(half, kernel, 2, 1, [2, 1, 2, 1], 4.0, False),
    )
    time_op(
        "area_resample",
        torch.float32,
        image.nbytes + small.nbytes,
        lambda: compiled.area_resample(image, whole, out, [], []),
    )
    time_op(
        "area_resample_transpose",
        torch.float32,
        image.nbytes + small.nbytes,
        lambda: compiled.area_resample_transpose(small, [SIZE, SIZE], whole, []),
    )
    return rows


def graphed(run: Callable[[Tensor], Any], x: Tensor) -> Run:
    """The same call, replayed."""
    graph = CudaGraph(run)
    return lambda: graph(x)


def compare(candidates: dict[str, Callable[[], Run]], rounds: int, slow: str) -> Rows:
    """Interleaved wall-clock times, and how many times faster than `slow` each is."""
    runs: dict[str, Run] = {}
    failures: Rows = []
    for name, prepare in candidates.items():
        try:
            runs[name] = prepare()
            for _ in range(4):
                runs[name]()
        except Exception as error:  # One comparator must not take the others with it.
            runs.pop(name, None)
            failures.append({"candidate": name, "error": f"{type(error).__name__}: {error}"[:500]})
    times = interleave(runs, rounds, wait=torch.cuda.synchronize)
    rows: Rows = [
        {
            "candidate": name,
            "median_ms": each.median * 1e3,
            "min_ms": each.min * 1e3,
            "max_ms": each.max * 1e3,
            **({f"times_faster_than_{slow}": ratio(times[slow], each)} if slow in times else {}),
        }
        for name, each in times.items()
    ]
    return rows + failures


def synthesis_rows(batch: int, task: str) -> Rows:
    """StyleGAN2 config-f from w+ to the image at 1024."""
    model, x = networks.stylegan2(SIZE), _start(batch)
    textbook = TextbookStyleGAN2(model)
    timed = forward if task == "forward" else backward
    whole: Callable[[Tensor], Tensor] = model.synthesis
    rows = compare(
        {
            "ours fp32": lambda: timed(whole, x),
            "ours bf16": lambda: timed(autocast(whole), x),
            "ours bf16, graph": lambda: graphed(lambda w: timed(autocast(whole), w)(), x),
            "stock bf16": lambda: stock(timed(autocast(whole), x)),
            "textbook fp32": lambda: timed(textbook.synthesis, x),
            "textbook bf16": lambda: timed(autocast(textbook.synthesis), x),
        },
        rounds=10,
        slow="textbook fp32",
    )
    return [{"task": task, "batch": batch, **row} for row in rows]


def compiled_rows() -> Rows:
    """The same forward and backward by torch.compile, which takes a minute to compile."""
    whole, x = networks.stylegan2(SIZE).synthesis, _start(1)
    return compare(
        {
            "ours bf16, graph": lambda: graphed(lambda w: backward(autocast(whole), w)(), x),
            "stock bf16": lambda: stock(backward(autocast(whole), x)),
            "compiled stock bf16": lambda: stock(backward(torch.compile(autocast(whole)), x)),
        },
        rounds=10,
        slow="stock bf16",
    )


def part_rows() -> Rows:
    """What the parts of a step take on the device, each forward and backward as one graph."""
    model, clip, identity = networks.stylegan2(SIZE), networks.clip_vit_b32(), networks.ir_se50()
    start, tokens = _start(1), tokenize([PROMPT, NEUTRAL]).cuda()
    image = torch.rand(1, 3, SIZE, SIZE, device="cuda")
    runs: dict[str, Run] = {
        "StyleGAN2": backward(autocast(model.synthesis), start),
        "ViT-B/32": backward(autocast(clip.encode_image), image),
        "IR-SE50": backward(autocast(identity.encode), image),
        "step": Edit(model, clip, identity, EditSettings(), start, tokens, "bf16").step,
    }
    return [{"part": name, **milliseconds(run)} for name, run in runs.items()]


def step_rows() -> Rows:
    """Generator, ViT-B/32, IR-SE50 and Adam at 1024."""
    model, clip, identity = networks.stylegan2(SIZE), networks.clip_vit_b32(), networks.ir_se50()
    start, tokens = _start(1), tokenize([PROMPT, NEUTRAL]).cuda()
    settings = EditSettings()

    def edit(precision: str) -> Edit:
        return Edit(model, clip, identity, settings, start, tokens, precision)

    def captured() -> Run:
        whole = edit("bf16")

        def step(offset: Tensor, mean: Tensor, square: Tensor, row: Tensor, views: Tensor) -> Any:
            state = StepState(offset, mean, square)
            return whole.edit_step(whole.space, state, whole.targets, whole.weights, row, views)

        graph = CudaGraph(step)
        return lambda: graph(*whole.state, whole.schedule[0], whole.views[0])

    def textbook(precision: str) -> Run:
        step = TextbookStep(
            TextbookStyleGAN2(model), clip, identity, tokens[:1], start, settings.l2, settings.id
        )
        if precision == "fp32":
            return step.step

        def run() -> object:
            with torch.autocast("cuda", torch.bfloat16):
                step.step()
            return None

        return run

    return compare(
        {
            "ours fp32": lambda: edit("fp32").step,
            "ours bf16": lambda: edit("bf16").step,
            "ours bf16, graph": captured,
            "stock bf16": lambda: stock(edit("bf16").step),
            "textbook fp32": lambda: textbook("fp32"),
            "textbook bf16": lambda: textbook("bf16"),
        },
        rounds=10,
        slow="textbook fp32",
    )


@contextlib.contextmanager
def without_graphs() -> Iterator[None]:
    """The editor runs every step as it is."""
    whole = TorchRun.step

    def step(self: TorchRun, step: int) -> Any:
        self.take_step = self.plain_step
        return whole(self, step)

    TorchRun.step = step  # type: ignore[method-assign]
    try:
        yield
    finally:
        TorchRun.step = whole  # type: ignore[method-assign]


def edit_rows() -> Rows:
    """`Editor.edit` of 100 steps at 1024, text to pictures, with the official networks."""
    return _edit_rows(
        Bundle(
            name="random",
            manifest=Manifest(name="random"),
            generator=networks.stylegan2(SIZE),
            clip=networks.clip_vit_b32(),
            identity=networks.ir_se50(),
        ),
        steps=100,
    )


def default_bundle_rows() -> Rows:
    """`Editor.edit` as it comes, and the generator in bf16."""
    try:
        bundle = networks.default_bundle()
    except StyleClipError as error:  # Its weights are not in this package, and may be out of reach.
        return [{"left_out": str(error)}]
    rows = _edit_rows(bundle, steps=None)
    model = networks.mobile_stylegan()
    whole: Callable[[Tensor], Tensor] = model.synthesis

    def candidates(timed: Callable[..., Run], x: Tensor) -> dict[str, Callable[[], Run]]:
        run = timed(autocast(whole), x)
        return {
            "ours bf16, graph": lambda: graphed(lambda w: timed(autocast(whole), w)(), x),
            "ours bf16": lambda: run,
            "stock bf16": lambda: stock(run),
        }

    for batch in (1, 16):
        x = networks.latents(model, batch)
        for name, timed in (("forward", forward), ("forward + backward", backward)):
            compared = compare(candidates(timed, x), rounds=10, slow="stock bf16")
            rows += [{"task": name, "batch": batch, **row} for row in compared]
    return rows


def _edit_rows(bundle: Bundle, steps: int | None) -> Rows:
    torch.cuda.empty_cache()
    torch.cuda.reset_peak_memory_stats()
    editor = Editor(bundle, "cuda", "bf16")

    def edit() -> object:
        return editor.edit(PROMPT, seed=7, plain=True, steps=steps)

    def eager() -> object:
        with without_graphs():
            return edit()

    begin = time.perf_counter()
    edit()
    first = time.perf_counter() - begin
    peak = torch.cuda.max_memory_allocated()
    times = interleave(
        {"graph": edit, "no graph": eager}, rounds=3, warmup=0, wait=torch.cuda.synchronize
    )
    return [
        {"candidate": "graph, first edit", "median_s": first, "peak_memory_bytes": peak},
        *(
            {"candidate": name, "median_s": each.median, "min_s": each.min, "max_s": each.max}
            for name, each in times.items()
        ),
    ]


def _start(batch: int) -> Tensor:
    return networks.latents(networks.stylegan2(SIZE), batch)


def main(arguments: list[str] | None = None) -> Path:
    """Run every part and write the file; returns its path."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, default=FOLDER, help="folder of the JSON file")
    options = parser.parse_args(arguments)
    if not torch.cuda.is_available():
        raise SystemExit("benchmarks.gpu needs a CUDA device that torch can use; there is none.")
    for network in (networks.stylegan2(SIZE), networks.clip_vit_b32(), networks.ir_se50()):
        network.cuda()
    now = datetime.datetime.now(datetime.timezone.utc).isoformat(timespec="seconds")
    results: dict[str, Any] = {"machine": machine(), "date": now}
    peaks = roofline.measure_peaks(
        DTYPES, "cuda", size=8192, megabytes=1024, wait=torch.cuda.synchronize
    )
    results["peaks"] = {"copy_bytes_per_s": peaks.copy, "flops_per_s": dict(peaks.flops)}
    device = re.sub(r"[^a-z0-9]+", "-", results["machine"]["device"].lower()).strip("-")
    path: Path = options.out / f"gpu-{device}-{now[:16].replace(':', '')}.json"
    path.parent.mkdir(parents=True, exist_ok=True)
    parts: dict[str, Callable[[], Rows]] = {
        "ops": lambda: op_rows(peaks),
        "parts": part_rows,
        "step": step_rows,
        "synthesis forward, batch 1": lambda: synthesis_rows(1, "forward"),
        "synthesis forward + backward, batch 1": lambda: synthesis_rows(1, "forward + backward"),
        "default bundle": default_bundle_rows,
        "edit": edit_rows,
        "synthesis forward, batch 4": lambda: synthesis_rows(4, "forward"),
        "compiled": compiled_rows,
    }
    bar = tqdm(parts.items(), unit="part")
    for name, part in bar:
        bar.set_postfix_str(name)
        try:
            results[name] = part()
        except Exception as error:  # The other parts are worth having.
            results[name] = {"error": f"{type(error).__name__}: {error}"[:1000]}
        torch.cuda.empty_cache()
        path.write_text(json.dumps(results, indent=1) + "\n")
    print(json.dumps(results, indent=1))
    failed = [
        name
        for name in parts
        if "error" in results[name] or any("error" in row for row in results[name])
    ]
    if failed:
        raise SystemExit(f"These parts failed: {', '.join(failed)}; see {path}.")
    return path


if __name__ == "__main__":
    main()
