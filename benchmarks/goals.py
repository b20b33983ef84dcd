"""What the project set out to reach, at 1024 px and batch 1 on two cores."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from benchmarks.cases import BACKWARD, FORWARD
from benchmarks.timing import Times, ratio


@dataclass(frozen=True)
class Goal:
    """At least ``times`` as fast as the fastest of ``against``."""

    subject: str
    task: str
    ours: str
    against: tuple[str, ...]
    times: float

    def seconds(self, cases: list[Mapping[str, Any]]) -> dict[str, Times]:
        """The times of its case at 1024 px; empty where that was not measured."""
        for case in cases:
            if (case["subject"], case["task"], case["size"], case["batch"]) == (
                self.subject,
                self.task,
                1024,
                1,
            ):
                return {name: Times(tuple(each)) for name, each in case["seconds"].items()}
        return {}

    def reached(self, cases: list[Mapping[str, Any]]) -> float | None:
        """How many times as fast it is; None where that was not measured."""
        seconds = self.seconds(cases)
        rivals = [seconds[name] for name in self.against if name in seconds]
        if self.ours in seconds and rivals:
            return min(ratio(rival, seconds[self.ours]) for rival in rivals)
        return None


def _stylegan2(task: str, precision: str, against: tuple[str, ...], times: float) -> Goal:
    return Goal("StyleGAN2", task, f"ours {precision}", against, times)


STEP = "Editing step, official networks"
PEERS = ("ONNX Runtime fp32", "OpenVINO fp32")
MEMORY_SHARE = 1 / 3
PSNR = 40.0
GOALS = (
    _stylegan2(FORWARD, "fp32", ("textbook fp32",), 4),
    _stylegan2(FORWARD, "bf16", ("textbook fp32",), 12),
    _stylegan2(BACKWARD, "fp32", ("textbook fp32",), 5),
    _stylegan2(BACKWARD, "bf16", ("textbook fp32",), 14),
    _stylegan2(FORWARD, "fp32", ("stock fp32",), 1.5),
    _stylegan2(FORWARD, "bf16", ("stock bf16",), 2),
    _stylegan2(BACKWARD, "fp32", ("stock fp32",), 1.8),
    _stylegan2(BACKWARD, "bf16", ("stock bf16",), 2),
    Goal(STEP, "step", "ours bf16", ("textbook fp32",), 14),
    _stylegan2(FORWARD, "fp32", PEERS, 1.2),
    Goal("MobileStyleGAN", FORWARD, "ours fp32", ("OpenVINO, its own IR fp32",), 1),
    Goal("MobileStyleGAN", FORWARD, "ours bf16", ("OpenVINO, its own IR bf16",), 1),
)
