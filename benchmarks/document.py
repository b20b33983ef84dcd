"""The tables and the chart of one set of results: docs/BENCHMARKS.md and docs/benchmarks.png."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from benchmarks.cases import BACKWARD, ELEMENT_SIZES, FORWARD
from benchmarks.goals import GOALS, MEMORY_SHARE, PSNR, STEP
from benchmarks.roofline import Peaks, Work, floor_seconds, stylegan2_work
from benchmarks.timing import Times, ratio
from styleclip_rt.markdown import table
from styleclip_rt.models.stylegan2 import StyleGAN2Config

Results = Mapping[str, Any]
DTYPES = {"fp32": "float32", "bf16": "bfloat16"}
COLOURS = {
    "ours": "#1b6ac9",
    "stock": "#8a8f98",
    "compiled": "#c9a227",
    "textbook": "#b5483a",
    "ONNX": "#5b9a5b",
    "OpenVINO": "#7d5ba6",
}


def write(results: Results, folder: Path) -> None:
    """Write both into ``folder``."""
    folder.mkdir(parents=True, exist_ok=True)
    draw(results, folder / "benchmarks.png")
    (folder / "BENCHMARKS.md").write_text(text(results), encoding="utf-8")


def times_of(case: Results) -> dict[str, Times]:
    """Candidate -> its times."""
    return {name: Times(tuple(seconds)) for name, seconds in case["seconds"].items()}


def line(case: Results) -> str:
    """A case in one line, for the console."""
    times = times_of(case)
    parts = [f"{name} {show_seconds(each.median)}" for name, each in times.items()]
    return f"{case['subject']} {case['size']}, batch {case['batch']}, {case['task']}: " + ", ".join(
        parts
    )


def show_seconds(seconds: float) -> str:
    """Three digits, in ms below a second."""
    return f"{seconds:.2f} s" if seconds >= 1 else f"{seconds * 1e3:.3g} ms"


def share_of_peak(case: Results, name: str, peaks: Peaks) -> str:
    """How much of the machine's limit a candidate reaches."""
    dtype = DTYPES[name.rsplit(" ", 1)[1]]
    seconds = times_of(case)[name].median
    if case["work"]:
        works = [Work(*work) for work in case["work"][dtype]]
        share = floor_seconds(works, peaks, dtype) / seconds
        if not any(work.flops for work in works):
            return f"{share:.0%} of copy"
        arithmetic = sum(work.flops for work in works) / seconds / peaks.flops[dtype]
        return f"{share:.0%} of roofline, {arithmetic:.0%} of matmul"
    if case.get("flops"):
        return f"{case['flops'] / seconds / peaks.flops[dtype]:.0%} of matmul"
    return ""


def case_table(cases: list[Results], peaks: Peaks) -> str:
    """One row a case and candidate: median, range, ratio to ours of the same precision."""
    rows = []
    for case in cases:
        times = times_of(case)
        title = f"{case['subject']} {case['size']}, batch {case['batch']}, {case['task']}"
        for name, each in times.items():
            ours = times[f"ours {name.rsplit(' ', 1)[1]}"]
            rows.append(
                [
                    title,
                    f"**{name}**" if name.startswith("ours") else name,
                    show_seconds(each.median),
                    f"{show_seconds(each.min)} to {show_seconds(each.max)}",
                    "" if name.startswith("ours") else f"{ratio(each, ours):.2f}x",
                    share_of_peak(case, name, peaks),
                    f"{case['error'][name]:.0e}" if case["error"].get(name) else "",
                ]
            )
            title = ""
        for name, reason in case.get("failed", {}).items():
            rows.append([title, name, "cannot run", reason[:80], "", "", ""])
    head = ("", "candidate", "median", "min to max", "ours is faster by", "reaches", "error")
    return table(head, rows)


def goal_table(results: Results) -> str:
    """The goals and what was measured."""
    rows = []
    for goal in GOALS:
        reached = goal.reached(results["cases"])
        against = " or ".join(goal.against) + (", the better" if len(goal.against) > 1 else "")
        rows.append(
            [
                f"{goal.subject}, {goal.task}, {goal.ours.removeprefix('ours ')}",
                against,
                f">= {goal.times:g}x",
                "not measured" if reached is None else f"{reached:.2f}x",
                _verdict(None if reached is None else reached >= goal.times),
            ]
        )
    memory = results["memory"]
    share = None
    if {"ours bf16", "textbook fp32"} <= memory.keys():
        share = memory["ours bf16"] / memory["textbook fp32"]
    rows.append(
        [
            f"{STEP}, peak memory, bf16",
            "textbook fp32",
            f"<= {MEMORY_SHARE:.2f}",
            "not measured" if share is None else f"{share:.2f}",
            _verdict(None if share is None else share <= MEMORY_SHARE),
        ]
    )
    for name, value in results["psnr"].items():
        rows.append(
            [
                f"{name}, bf16 image",
                "ours fp32",
                f">= {PSNR:.0f} dB",
                f"{value:.1f} dB",
                _verdict(value >= PSNR),
            ]
        )
    return table(("at 1024 px, batch 1", "against", "goal", "measured", ""), rows)


def _verdict(met: bool | None) -> str:
    return "" if met is None else "met" if met else "**not met**"


def growth_table(results: Results) -> str:
    """Forward + backward of StyleGAN2 by resolution and batch, a face."""
    rows = []
    for case in results["cases"]:
        if case["task"] != BACKWARD or not case["subject"].startswith("StyleGAN2"):
            continue
        times, batch = times_of(case), case["batch"]
        names = ("ours fp32", "ours bf16", "stock fp32", "stock bf16")
        rows.append(
            [
                f"{case['subject']} {case['size']}",
                str(batch),
                *(
                    show_seconds(times[name].median / batch) if name in times else ""
                    for name in names
                ),
            ]
        )
    return table(("", "batch", "ours fp32", "ours bf16", "stock fp32", "stock bf16"), rows)


def text(results: Results) -> str:
    """The whole page."""
    machine, peaks = results["machine"], Peaks(**results["peaks"])
    cases = results["cases"]
    versions = ", ".join(f"{k} {v}" for k, v in machine["versions"].items() if v)
    is_op = [_is_op(case) for case in cases]
    memory = [[name, f"{value / 2**30:.2f} GiB"] for name, value in results["memory"].items()]
    flops = ", ".join(f"{name} {value / 1e9:.0f} Gflop/s" for name, value in peaks.flops.items())
    left_out = f"\n{results['left_out']}" if results.get("left_out") else ""
    return f"""# Speed

Measured {results["date"]} on {machine["cpu"]}, {machine["cores"]} cores
({", ".join(machine["instructions"])}), {machine["system"]}, Python {machine["python"]},
{versions}. Written by `python -m benchmarks.report`.{left_out}

![Chart](benchmarks.png)

## Goals

{goal_table(results)}
Ratios are the median over rounds of the ratio within a round; in each round all candidates take
their turn, so a slow spell of the machine meets all of them. Every case has a process of its own,
every candidate {machine["cores"]} threads and one run to warm up, which is not counted. The C
library keeps freed memory for all of them, as the editor has it do (`devices.keep_freed_memory`).

- **ours**: the package as a user runs it; bf16 is what the editor calls `precision="bf16"`.
- **stock**: the same networks on PyTorch's own operators, in their best form: modulated
  activations, frozen channels-last weights; in bf16 the whole network is cast, which is faster
  than autocast, except within an editing step, where the judges are cast and the generator draws
  under autocast. It computes what ours computes.
- **textbook**: StyleGAN2 and StyleCLIP's step as published code computes them: a modulated weight
  for each sample, grouped convolution, blur, noise and activation in passes of their own; in the
  editing step also CLIP's input by a sevenfold enlargement, text and original looked at anew in
  every step. Its weights are frozen, which published code leaves out. `tests/benchmarks` checks
  that it equals ours in values and gradients. Goals for bf16 are against textbook in float32, in
  which published code runs; textbook under bf16 autocast stands beside it.
- **compiled**: `torch.compile` of stock, without its compile time.
- **ONNX Runtime**, **OpenVINO**: the same network exported with standard operators; arithmetic as
  named. "Its own IR" is MobileStyleGAN as its author published it.

## Networks and edits

"Error" is the root mean square of the difference to ours in float32 over that of its image, or of
its gradient.

{case_table([c for c, op in zip(cases, is_op, strict=True) if not op], peaks)}
Peak resident memory of a process that takes two editing steps at 1024 px with StyleGAN2, ViT-B/32
and IR-SE50, the median of three:

{table(("", "peak"), memory)}
## How time grows

Forward and backward to w+, a face. "Draft" asks the 1024 px network for a smaller image.

{growth_table(results)}
## Operators

Each at the size where the networks spend most on it.

{case_table([c for c, op in zip(cases, is_op, strict=True) if op], peaks)}
## The machine's limits

In the same run: matrix products of 2048 reach {flops}; a copy of 256 MB moves
{peaks.copy / 1e9:.1f} GB/s, reading and writing both counted. The roofline is the least time that
the work can take at these rates, one convolution or fused pass after another: each reads its input
once and writes its output once. StyleGAN2's assumes that all between two convolutions is one pass.
Shares of copy above 100% mean that the data stayed in the cache. Arithmetic is counted as direct
convolution does it, which is more than ours multiplies, so its shares may pass 100% too.

Ours multiplies 36 times for 144 in plain layers and 81 times for 144 in the larger upsampling ones
(docs/KERNELS.md). Were these multiplications all at the speed of the matrix product, and nothing
else in the way, StyleGAN2 at 1024 px could be faster than the textbook by at most:

{limit_table(cases, peaks)}"""


def limit_table(cases: list[Results], peaks: Peaks) -> str:
    """How far the machine lets our multiplications come, beside how far they have come."""
    rows = []
    for goal in GOALS:
        times = goal.seconds(cases)
        if goal.subject != "StyleGAN2" or goal.against != ("textbook fp32",):
            continue
        if goal.ours not in times or "textbook fp32" not in times:
            continue
        precision = goal.ours.split()[1]
        dtype = DTYPES[precision]
        config, backward = StyleGAN2Config.sized(1024), goal.task == BACKWARD
        works = stylegan2_work(config, 1, ELEMENT_SIZES[dtype], backward, winograd=True)
        floor = floor_seconds(works, peaks, dtype)
        textbook, ours = times["textbook fp32"].median, times[goal.ours].median
        rows.append(
            (
                f"{goal.task}, {precision}",
                f"{floor:.3f} s",
                f"{ours:.3f} s",
                f"{textbook / floor:.1f}x",
                f"{textbook / ours:.1f}x",
                f"{goal.times:g}x",
            )
        )
    return table(("", "least time", "ours", "at most", "measured", "goal"), rows)


def _is_op(case: Results) -> bool:
    return str(case["subject"]).startswith(
        ("bias_act", "upfirdn2d", "idwt2d", "area_resample", "styled", "separable")
    )


def draw(results: Results, path: Path) -> None:
    """Seconds by candidate in four panels, then growth with size, and the operators' shares."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(14, 15), dpi=110, layout="constrained")
    grid = figure.subplots(3, 2, height_ratios=(1, 0.9, 1.5))
    cases, peaks = results["cases"], Peaks(**results["peaks"])
    found = {(c["subject"], c["task"], c["size"], c["batch"]): c for c in cases}
    for axes, title, key in (
        (grid[0, 0], "StyleGAN2 1024, forward", ("StyleGAN2", FORWARD, 1024, 1)),
        (grid[0, 1], "StyleGAN2 1024, forward + backward", ("StyleGAN2", BACKWARD, 1024, 1)),
        (
            grid[1, 0],
            "Editing step, 1024 px: StyleGAN2, ViT-B/32, IR-SE50",
            (STEP, "step", 1024, 1),
        ),
        (grid[1, 1], "MobileStyleGAN 1024, forward", ("MobileStyleGAN", FORWARD, 1024, 1)),
    ):
        _bars(axes, title, found.get(key))
    _growth(grid[2, 0], cases, peaks)
    _shares(grid[2, 1], [case for case in cases if _is_op(case)], peaks)
    machine = results["machine"]
    figure.suptitle(
        f"StyleCLIP-RT on {machine['cpu']}, {machine['cores']} cores, {results['date']}"
    )
    figure.savefig(path)


def _colour(name: str) -> str:
    return next(colour for key, colour in COLOURS.items() if name.startswith(key))


def _bars(axes: Any, title: str, case: Results | None) -> None:
    """Medians with the range, the slowest on top."""
    axes.set_title(title)
    if case is None:
        return _empty(axes)
    times = times_of(case)
    names = sorted(times, key=lambda name: times[name].median)
    for position, name in enumerate(names):
        each = times[name]
        axes.barh(
            position,
            each.median,
            xerr=[[each.median - each.min], [each.max - each.median]],
            color=_colour(name),
            alpha=1.0 if name.endswith("fp32") else 0.65,
            error_kw={"elinewidth": 1, "ecolor": "0.3"},
        )
        axes.annotate(
            show_seconds(each.median), (each.max, position), (4, 0),
            textcoords="offset points", va="center", fontsize=8,
        )  # fmt: skip
    axes.set_yticks(range(len(names)), names, fontsize=9)
    axes.margins(x=0.15)
    axes.set_xlabel("seconds, median and range; shorter is faster")
    axes.grid(axis="x", alpha=0.3)


def _empty(axes: Any) -> None:
    axes.text(0.5, 0.5, "not measured", ha="center", transform=axes.transAxes)
    axes.set_axis_off()


def _growth(axes: Any, cases: list[Results], peaks: Peaks) -> None:
    chosen = [
        case
        for case in cases
        if case["task"] == BACKWARD
        and case["batch"] == 1
        and (case["subject"] == "StyleGAN2 draft" or case["subject"] == "StyleGAN2")
        and (case["subject"], case["size"]) != ("StyleGAN2", 256)
    ]
    chosen.sort(key=lambda case: case["size"])
    axes.set_title("StyleGAN2, forward + backward to w+, by size of the image")
    if len(chosen) < 2:
        return _empty(axes)
    sizes = [case["size"] for case in chosen]
    for name, style in (
        ("stock fp32", "-"),
        ("ours fp32", "-"),
        ("stock bf16", "--"),
        ("ours bf16", "--"),
    ):
        measured = {c["size"]: times_of(c)[name].median for c in chosen if name in times_of(c)}
        if measured:
            axes.plot(*zip(*measured.items(), strict=True), style, marker="o",
                      color=_colour(name), label=name)  # fmt: skip
    for precision, style in (("fp32", "-"), ("bf16", "--")):
        dtype = DTYPES[precision]
        if dtype not in peaks.flops:
            continue
        floors = [
            floor_seconds([Work(*work) for work in case["work"][dtype]], peaks, dtype)
            for case in chosen
        ]
        axes.plot(sizes, floors, style, color="0.2", linewidth=1, label=f"roofline {precision}")
    axes.set_xscale("log", base=2)
    axes.set_yscale("log")
    axes.set_xticks(sizes, [str(size) for size in sizes])
    axes.set_xlabel("pixels a side")
    axes.set_ylabel("seconds")
    axes.grid(alpha=0.3, which="both")
    axes.legend(fontsize=8)


def _shares(axes: Any, cases: list[Results], peaks: Peaks) -> None:
    labels, position = [], 0
    axes.set_title("Operators")
    if not cases:
        return _empty(axes)
    for case in cases:
        times = times_of(case)
        for offset, name in ((0.3, "stock fp32"), (0.1, "ours fp32"), (-0.1, "stock bf16"),
                             (-0.3, "ours bf16")):  # fmt: skip
            if name not in times:
                continue
            dtype = DTYPES[name.split()[1]]
            floor = floor_seconds([Work(*work) for work in case["work"][dtype]], peaks, dtype)
            axes.barh(
                position + offset,
                100 * floor / times[name].median,
                height=0.19,
                color=_colour(name),
                alpha=1.0 if name.endswith("fp32") else 0.6,
                label=name if position == 0 else None,
            )
        labels.append(case["subject"] + ("" if case["task"] == FORWARD else ", + backward"))
        position -= 1
    axes.set_yticks(range(0, position, -1), labels, fontsize=8)
    axes.axvline(100, color="0.2", linewidth=1)
    axes.set_xlabel("% of the roofline (measured copy and matmul); longer bars are better")
    axes.grid(axis="x", alpha=0.3)
    axes.legend(fontsize=8, loc="lower right")
