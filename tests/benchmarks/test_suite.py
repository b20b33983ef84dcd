"""The benchmark suite itself: its cases are well formed, its arithmetic right, its page whole."""

import json
import threading

import pytest
import torch
from tqdm import tqdm

from benchmarks import callers, document, report, roofline
from benchmarks.cases import FORWARD, BenchmarkedNetwork, Case, all_cases
from benchmarks.goals import GOALS
from benchmarks.timing import Run, Times, interleave, ratio
from styleclip_rt.models.stylegan2 import StyleGAN2, StyleGAN2Config

TINY = StyleGAN2Config((6, 5, 4), latent_dim=8, n_mlp=1)


def test_every_goal_is_among_the_cases():
    cases = {(case.subject, case.task, case.size, case.batch): case for case in all_cases()}
    assert len({case.name for case in all_cases()}) == len(all_cases()) == len(cases)
    for goal in GOALS:
        candidates = cases[goal.subject, goal.task, 1024, 1].candidates
        assert {goal.ours, *goal.against} <= candidates.keys()
    for case in cases.values():
        assert "ours bf16" in case.candidates


def test_candidates_take_turns():
    calls: list[str] = []
    runs = {name: lambda name=name: calls.append(name) for name in "ab"}
    times = interleave(runs, rounds=2, warmup=1)
    assert calls == ["b", "a", "a", "b", "b", "a"]
    assert {name: len(each.seconds) for name, each in times.items()} == {"a": 2, "b": 2}


def test_ratio_pairs_the_rounds():
    # A machine that slows down fourfold between the rounds changes no ratio.
    assert ratio(Times((2.0, 8.0, 9.0)), Times((1.0, 4.0, 3.0))) == 2
    with pytest.raises(ValueError, match="shorter"):
        ratio(Times((1.0, 2.0)), Times((1.0,)))


@pytest.mark.parametrize("backward", [False, True])
def test_work_of_stylegan2_counts_its_convolutions(backward: bool):
    model = StyleGAN2(TINY)
    latent = torch.randn(2, model.n_latent, 8).requires_grad_(backward)

    def run() -> None:
        image = model.synthesis(latent)
        if backward:
            image.sum().backward()

    def filters(size: int, channels: int) -> int:
        return 2 * 2 * channels * 16 * size**2

    # What the counter sees beside them: filters as depthwise convolutions, and the affines.
    styles = sum(affine.weight.numel() for _, affine in model._style_layers())
    energies = sum(conv.energy.numel() for conv in model.convs)
    around = 2 * 2 * (styles + energies) + filters(8, 5 + 3) + filters(16, 4 + 3)
    works = roofline.stylegan2_work(TINY, 2, 4, backward)
    counted = sum(work.flops for work in works) + around * (2 if backward else 1)
    # The gradients of the constant and of the first affines' inputs may be left out.
    assert counted == pytest.approx(roofline.count_flops(run), rel=0.03)


def test_floor_is_bound_by_the_slower_of_arithmetic_and_memory():
    peaks = roofline.Peaks({"float32": 10.0}, copy=2.0)
    works = [roofline.Work(100, 2), roofline.Work(0, 6)]
    assert roofline.floor_seconds(works, peaks, "float32") == 10 + 3


def test_candidates_of_a_network_compute_the_same():
    torch.manual_seed(0)
    model = StyleGAN2(TINY)
    latent = torch.randn(2, model.n_latent, 8)
    network = BenchmarkedNetwork("tiny", lambda: model, StyleGAN2.synthesis, lambda: latent)
    exact = model.synthesis(latent)
    for name in ("ours fp32", "stock fp32"):
        assert report.relative_error(network.prepare(FORWARD, name)(), exact) < 1e-5
    for name in ("ours bf16", "stock bf16"):
        assert 1e-5 < report.relative_error(network.prepare(FORWARD, name)(), exact) < 5e-2
    with pytest.raises(ValueError, match="no candidate"):
        network.prepare("forward + backward", "OpenVINO fp32")


def test_an_engine_that_fails_is_named_and_ours_must_not():
    def fail() -> Run:
        raise RuntimeError("no such operator\nand more")

    one = torch.ones(2)
    candidates = {"ours fp32": lambda: lambda: one, "ours bf16": lambda: lambda: 2 * one}
    case = Case("tiny", FORWARD, 8, 1, candidates | {"OpenVINO fp32": fail})
    with tqdm(disable=True) as bar:
        runs, found = report.prepare_all(case, bar)
        assert runs.keys() == candidates.keys()
        assert found["error"] == {"ours fp32": 0, "ours bf16": 1}
        assert found["failed"] == {"OpenVINO fp32": "RuntimeError: no such operator"}
        with pytest.raises(RuntimeError):
            report.prepare_all(Case("tiny", FORWARD, 8, 1, {"stock fp32": fail}), bar)


def test_page_of_partial_results(tmp_path):
    peaks = {"flops": {"float32": 1e11, "bfloat16": 2e11}, "copy": 2e10}
    cases = [
        {
            "subject": case.subject,
            "task": case.task,
            "size": case.size,
            "batch": case.batch,
            "error": {},
            "seconds": {name: [2.0, 3.0, 4.0] for name in case.candidates},
            "work": {
                dtype: [[work.flops, work.bytes] for work in works]
                for dtype, works in case.work.items()
            },
        }
        for case in all_cases()[:4]
    ]
    cases[0]["seconds"]["ours fp32"] = [0.5, 0.75, 1.0]
    results = {"date": "2026-01-01", "machine": report.machine(), "peaks": peaks}
    results |= {"cases": cases, "memory": {}, "psnr": {"StyleGAN2": 39.0}}
    results = json.loads(json.dumps(results))
    document.write(results, tmp_path)
    page = (tmp_path / "BENCHMARKS.md").read_text()
    row = next(line for line in page.splitlines() if "forward, fp32 | textbook fp32" in line)
    assert row.split(" | ")[3:5] == ["4.00x", "met |"]
    assert "39.0 dB | **not met**" in page
    assert (tmp_path / "benchmarks.png").stat().st_size > 10_000
    results["cases"] = []
    assert "not measured" in document.text(results)


@pytest.mark.parametrize("isa", ["baseline", "avx2", "avx512"])
def test_what_the_processor_cannot_multiply_is_left_out_and_said(monkeypatch, tmp_path, isa):
    monkeypatch.setenv("STYLECLIP_RT_ISA", isa)
    known, left_out = report.precisions()
    assert known == ("fp32",)
    assert left_out.startswith("bf16 is left out")
    cases = report.cases_here()
    assert {name.rsplit(" ", 1)[1] for case in cases for name in case.candidates} == {"fp32"}
    for case in cases:
        assert {"ours fp32", "stock fp32"} <= case.candidates.keys()
    results = {"date": "2026-01-01", "machine": report.machine(), "left_out": left_out}
    results |= {"peaks": {}, "memory": {}, "psnr": {}}
    asked = []

    def measure(dtypes):
        asked.extend(dtypes)
        return roofline.Peaks({"float32": 1e11}, 2e10)

    monkeypatch.setattr(roofline, "measure_peaks", measure)
    report._peaks(results, known)
    assert asked == [torch.float32]
    results["cases"] = [
        {
            "subject": case.subject,
            "task": case.task,
            "size": case.size,
            "batch": case.batch,
            "error": {},
            "seconds": {name: [2.0, 3.0, 4.0] for name in case.candidates},
            "work": {
                dtype: [[work.flops, work.bytes] for work in works]
                for dtype, works in case.work.items()
            },
        }
        for case in cases
    ]
    document.write(json.loads(json.dumps(results)), tmp_path)
    page = (tmp_path / "BENCHMARKS.md").read_text()
    assert left_out in page
    assert "| ours bf16 |" not in page.replace("**", "").replace("ours fp32 | ours bf16", "")
    assert (tmp_path / "benchmarks.png").stat().st_size > 10_000


def test_every_caller_is_answered():
    asked: list[int] = []
    load = callers.under_load("task", lambda: asked.append(threading.get_ident()), 4, 0.01)
    assert load.answers == len(asked)
    assert len(set(asked)) == 4
    assert load.p50 <= load.p99 <= load.slowest
    assert f"| task | 4 | {load.answers} |" in callers.table([load])
