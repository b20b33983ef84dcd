"""Compare an exported file with the network in eager PyTorch, on fresh random inputs."""

import statistics
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from styleclip_rt import __version__, engines, markdown
from styleclip_rt.engines import Array
from styleclip_rt.engines.export_info import ExportInfo, Port
from styleclip_rt.errors import ExportError, StyleClipError
from styleclip_rt.export.networks import BATCH, Network
from styleclip_rt.files import replacing

PRECISIONS = ("fp32", "fp16")
MIN_PSNR = {"fp32": 60.0, "fp16": 35.0}
MIN_COSINE = {"fp32": 0.99999, "fp16": 0.999}
MAX_RELATIVE_ERROR = {"fp32": 1e-3, "fp16": 3e-2}
"""Of plain values: the root mean square of the error, by that of the values."""
MAX_GRADIENT_ERROR = 1e-2
"""The same of what a gradient decides: rounding alone may flip the sign of an absolute value or of
a leaky ReLU, and with it a share of the gradient."""

_COLUMNS = (
    *("file", "output", "max error", "mean error", "measure", "score", "bound", "ok"),
    *("eager ms", "file ms", "MB"),
)
_BATCHES = (1, 3)
_TIMED_SECONDS = 1.0
_TIMED_RUNS = 20


@dataclass(frozen=True)
class ComparedOutput:
    """One output, compared. `score` is a PSNR in dB, a cosine, or a relative error, as `measure`
    says, and must not miss `bound`."""

    output: str
    max_error: float
    mean_error: float
    measure: str
    score: float
    bound: float

    @property
    def passed(self) -> bool:
        """Whether the bound is kept; a NaN keeps none."""
        return (
            self.score <= self.bound
            if self.measure == "relative error"
            else self.score >= self.bound
        )


@dataclass(frozen=True)
class Report:
    """A file compared with eager.

    Attributes:
        path, info: of the file.
        rows: one an output, the worst over all batches.
        eager_ms, file_ms: latencies of one face, measured by turns in one process.
        bytes: size of the file.
    """

    path: Path
    info: ExportInfo
    rows: list[ComparedOutput]
    eager_ms: list[float]
    file_ms: list[float]
    bytes: int

    @property
    def passed(self) -> bool:
        """Whether every bound is kept."""
        return all(row.passed for row in self.rows)

    def table(self) -> str:
        """As Markdown."""
        return markdown.table(_COLUMNS, self._cells()).rstrip("\n")

    def lines(self) -> list[str]:
        """The rows of the table, without its head."""
        return [markdown.line(cells) for cells in self._cells()]

    def _cells(self) -> list[list[str]]:
        eager, file = statistics.median(self.eager_ms), statistics.median(self.file_ms)
        return [
            [
                self.path.name,
                row.output,
                f"{row.max_error:.1e}",
                f"{row.mean_error:.1e}",
                row.measure,
                f"{row.score:.6g}",
                f"{row.bound:g}",
                "yes" if row.passed else "NO",
                f"{eager:.2f}",
                f"{file:.2f}",
                f"{self.bytes / 1e6:.1f}",
            ]
            for row in self.rows
        ]


def describe(
    network: Network, bundle_name: str, precision: str, flavour: str, opset: int = 0
) -> ExportInfo:
    """What the file of a network is to say of itself.

    Raises:
        StyleClipError: an unknown precision.
    """
    if precision not in PRECISIONS:
        raise StyleClipError(f"unknown precision {precision!r}: say {' or '.join(PRECISIONS)}.")
    return ExportInfo(
        network=network.name,
        bundle=bundle_name,
        weights=network.weights,
        precision=precision,
        flavour=flavour,
        version=__version__,
        preprocessing=network.preprocessing,
        inputs=network.inputs,
        outputs=network.outputs,
        opset=opset,
        settings=network.settings,
        mapper=network.mapper,
        prompts=network.prompts,
    )


def verified(
    network: Network, path: Path, write: Callable[[Path], object], device: str = "cpu"
) -> Report:
    """Have `write` make a file, and put it at `path` if it does what the network does.

    Raises:
        ExportError: it does not, or cannot be written; nothing is left at `path` then but what
            stood there before.
    """
    with replacing(path, ExportError) as temporary:
        write(temporary)
        report = verify(network, temporary, device, name=path)
        if not report.passed:
            raise ExportError(f"{path.name} misses its bounds and was not kept:\n{report.table()}")
    return report


def verify(network: Network, path: Path, device: str = "cpu", name: Path | None = None) -> Report:
    """Compare the file at `path` (called `name` in the report) with `network`.

    Raises:
        ExportError: the file is broken, or was made of another network or of other weights.
    """
    info = engines.read_info(path)
    if (info.network, info.weights) != (network.name, network.weights):
        raise ExportError(
            f"{path} holds {info.network} of {info.bundle!r} with other weights than the "
            f"{network.name} that it is compared with: export it again from this bundle."
        )
    engine = engines.load(path, device)
    random = torch.Generator().manual_seed(int(time.time()))
    worst: dict[str, ComparedOutput] = {}
    for count in _BATCHES:
        inputs = network.sample(min(count, info.longest.get(BATCH, count)), random)
        expected = _eager(network, inputs)
        found = engine(_named(network, inputs))
        for port, values in zip(network.outputs, expected, strict=True):
            row = _compare(port, values, found[port.name], info.precision)
            worst[port.name] = _worse(worst.get(port.name), row)
    eager_ms, file_ms = _latencies(network, engine, network.sample(1, random))
    return Report(name or path, info, list(worst.values()), eager_ms, file_ms, path.stat().st_size)


def _named(network: Network, inputs: tuple[torch.Tensor, ...]) -> Mapping[str, Array]:
    return {port.name: tensor.numpy() for port, tensor in zip(network.inputs, inputs, strict=True)}


def _eager(network: Network, inputs: tuple[torch.Tensor, ...]) -> list[Array]:
    with torch.no_grad():
        outputs = network.module(*inputs)
    tensors = (outputs,) if isinstance(outputs, torch.Tensor) else outputs
    return [tensor.numpy() for tensor in tensors]


def _compare(port: Port, expected: Array, found: Array, precision: str) -> ComparedOutput:
    wide, other = expected.astype(np.float64), found.astype(np.float64)
    error = np.abs(wide - other)
    worst = float(error.max(initial=0.0)) if np.isfinite(other).all() else float("nan")
    mean = float(error.mean()) if error.size else 0.0
    square = float((error**2).mean()) if error.size else 0.0
    if port.kind == "image":
        # Images span two units, -1 to 1, or less.
        score = float("inf") if square == 0 else 10 * float(np.log10(4 / square))
        return ComparedOutput(port.name, worst, mean, "PSNR dB", score, MIN_PSNR[precision])
    if port.kind == "embedding":
        lengths = np.linalg.norm(wide, axis=1) * np.linalg.norm(other, axis=1)
        cosine = float(((wide * other).sum(axis=1) / lengths).min())
        return ComparedOutput(port.name, worst, mean, "cosine", cosine, MIN_COSINE[precision])
    size = max(float((wide**2).mean()) if wide.size else 0.0, 1e-12)
    bound = MAX_GRADIENT_ERROR if port.kind == "gradient" else MAX_RELATIVE_ERROR[precision]
    return ComparedOutput(
        port.name, worst, mean, "relative error", float(np.sqrt(square / size)), bound
    )


def _worse(known: ComparedOutput | None, row: ComparedOutput) -> ComparedOutput:
    if known is None or not row.passed:
        return row
    return row if known.passed and row.max_error > known.max_error else known


def _latencies(
    network: Network, engine: engines.Engine, inputs: tuple[torch.Tensor, ...]
) -> tuple[list[float], list[float]]:
    """Milliseconds of eager and of the file, run by turns."""
    arrays = _named(network, inputs)
    eager: list[float] = []
    file: list[float] = []
    end = time.perf_counter() + _TIMED_SECONDS
    while len(eager) < 3 or (time.perf_counter() < end and len(eager) < _TIMED_RUNS):
        begin = time.perf_counter()
        _eager(network, inputs)
        between = time.perf_counter()
        engine(arrays)
        eager.append(1000 * (between - begin))
        file.append(1000 * (time.perf_counter() - between))
    return eager, file
