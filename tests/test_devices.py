"""Where an edit computes, and how precisely."""

import subprocess
import sys

import pytest
import torch
from click.testing import CliRunner

from styleclip_rt import devices, threads
from styleclip_rt.cli import cli
from styleclip_rt.compiled import instruction_set
from styleclip_rt.devices import choose_device, choose_precision
from styleclip_rt.errors import StyleClipError

_native = pytest.importorskip("styleclip_rt._native")
ODD = (
    *("", "abacus", "cuda:", "cuda:-1", "cuda:99999999999999999999", "cuda:1:2", "cpu,cuda"),
    *("cpu\0", "meta", "mps:x", "\uff43\uff50\uff55", "cuda:\u00b2", "x" * 10_000),
    *(None, 0, 1.5, b"cpu", ["cpu"]),
)
FEATURES = {
    "avx512_bf16": {"avx2", "fma", "avx512f", "avx512bw", "avx512bf16"},
    "avx512": {"avx2", "fma", "avx512f", "avx512bw"},
    "avx2": {"avx2", "fma"},
    "baseline": {"sse4.2"},
}


def processor(monkeypatch: pytest.MonkeyPatch, best: str, wanted: str | None = None) -> None:
    every = set.union(*FEATURES.values())
    features = {name: name in FEATURES[best] for name in every}
    monkeypatch.setattr(_native, "cpu_features", lambda: features)
    monkeypatch.delenv("STYLECLIP_RT_ISA", raising=False)
    if wanted is not None:
        monkeypatch.setenv("STYLECLIP_RT_ISA", wanted)


@pytest.mark.parametrize("gpus", [0, 1, 2])
def test_odd_devices_are_refused_in_a_sentence(monkeypatch: pytest.MonkeyPatch, gpus: int) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: gpus > 0)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: gpus)
    for name in (*ODD, f"cuda:{gpus}"):
        with pytest.raises(StyleClipError) as refused:
            choose_device(name)
        assert len(str(refused.value)) < 160
        assert str(refused.value).endswith(".")


@pytest.mark.parametrize(("gpus", "auto"), [(0, "cpu"), (2, "cuda")])
def test_devices_that_are_here(monkeypatch: pytest.MonkeyPatch, gpus: int, auto: str) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: gpus > 0)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: gpus)
    assert choose_device("auto") == torch.device(auto)
    assert choose_device("cpu") == choose_device(" CPU ") == torch.device("cpu")
    if gpus:
        assert choose_device("cuda") == torch.device("cuda")
        assert choose_device("cuda:1") == torch.device("cuda:1")


def test_torch_is_kept_to_the_threads_that_are_given(monkeypatch: pytest.MonkeyPatch) -> None:
    before = torch.get_num_threads()
    try:
        torch.set_num_threads(3)
        monkeypatch.setattr(threads, "chosen", lambda: threads.Threads(2, "a quota"))
        choose_device("cpu")
        assert torch.get_num_threads() == 2
        monkeypatch.setattr(threads, "chosen", lambda: threads.Threads(8, "CPUs"))
        choose_device("cpu")
        assert torch.get_num_threads() == 2
    finally:
        torch.set_num_threads(before)


@pytest.mark.parametrize("best", FEATURES)
@pytest.mark.parametrize("wanted", [None, "", "sse", *FEATURES])
def test_precision_follows_the_set_that_the_kernels_use(
    monkeypatch: pytest.MonkeyPatch, best: str, wanted: str | None
) -> None:
    processor(monkeypatch, best, wanted)
    order = list(FEATURES)
    # csrc/kernels/cpu/isa.cpp: only a lower set is taken, and the best has no name there.
    lowered = wanted in order[1:] and order.index(wanted) > order.index(best)
    used = wanted if lowered else best
    assert instruction_set().name == used
    precision = choose_precision("auto", torch.device("cpu"))
    assert precision == ("bf16" if used == "avx512_bf16" else "fp32")


@pytest.mark.parametrize("precision", ["fp7", "", "BF16", None, 16, float("nan")])
def test_other_precisions_are_refused(precision: object) -> None:
    with pytest.raises(StyleClipError, match="unknown precision"):
        choose_precision(precision, torch.device("cpu"))


def test_info_loads_no_torch_where_none_is_needed() -> None:
    script = (
        "import sys; from styleclip_rt.cli import cli; cli(['info'], standalone_mode=False); "
        "print(*sorted(sys.modules))"
    )
    command = [sys.executable, "-c", script]
    told = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    assert f"torch {torch.__version__}" in told
    assert torch.version.cuda or " torch " not in told.splitlines()[-1]


def test_info_says_what_was_chosen_and_why(monkeypatch: pytest.MonkeyPatch) -> None:
    processor(monkeypatch, "avx512_bf16", "avx2")
    monkeypatch.setenv("OMP_NUM_THREADS", "5")
    monkeypatch.setenv("OMP_WAIT_POLICY", "passive")
    monkeypatch.setattr(devices.torch.cuda, "is_available", lambda: False)
    told = CliRunner().invoke(cli, ["info"]).output
    assert "threads: 5 (OMP_NUM_THREADS)" in told
    assert "waiting threads: OMP_WAIT_POLICY=passive" in told
    assert "instruction set: avx2 (STYLECLIP_RT_ISA=avx2)" in told
    assert "precision auto: fp32 (with avx2" in told
