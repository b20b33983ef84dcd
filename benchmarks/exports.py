"""Export everything at its real size, compare it with eager, and write docs/EXPORTED.md.

    python -m benchmarks.exports [--files FOLDER] [--only WORD] [--again]

What is in the folder already is neither made nor compared again; ``--again`` compares it again.
Needs the extra onnx, a C++ compiler, and half an hour.
"""

import argparse
import json
import math
import os
import statistics
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import torch
from tqdm import tqdm

from benchmarks import onnx_runtime
from benchmarks.networks import clip_vit_b32, default_bundle, ir_se50, stylegan2
from benchmarks.report import ROOT, machine
from styleclip_rt import markdown
from styleclip_rt.bundle import Bundle, Manifest
from styleclip_rt.checkpoints import mapper_file
from styleclip_rt.devices import keep_freed_memory
from styleclip_rt.export.aotinductor import export_aotinductor
from styleclip_rt.export.networks import Network
from styleclip_rt.export.onnx import export_onnx
from styleclip_rt.export.table import TABLE, build
from styleclip_rt.export.torchscript import export_torchscript
from styleclip_rt.export.verification import ComparedOutput, Report, verify
from styleclip_rt.files import replacing
from styleclip_rt.models.mapper import LevelsMapper, LevelsMapperConfig

Record = dict[str, Any]

MAPPERS = ("mapper", "mapper_text", "mapper_synthesis")
LARGE = tuple(name for name in TABLE if name not in ("draft", "generator"))
"""Those of the official networks that differ in size from the default bundle's alone."""


class Kind(NamedTuple):
    """A kind of file: its heading in the table, its suffix, its precision, and what makes it."""

    heading: str
    suffix: str
    precision: str
    export: Callable[..., Report]


ONNX = Kind("ONNX", ".onnx", "fp32", export_onnx)
HALF = Kind("ONNX fp16", ".fp16.onnx", "fp16", export_onnx)
PORTABLE = Kind("TorchScript", ".ts", "fp32", export_torchscript)
FUSED = Kind("TorchScript fused", ".fused.ts", "fp32", partial(export_torchscript, fused=True))
COMPILED = Kind("AOTInductor", ".pt2", "fp32", export_aotinductor)
KINDS = (ONNX, PORTABLE, FUSED, COMPILED, HALF)


class File(NamedTuple):
    """A file to make: of which bundle, which network (of which mapper), of which kind."""

    bundle: str
    network: str
    mapper: str
    kind: Kind

    def path(self, folder: Path) -> Path:
        """Where it lies."""
        owner = f"{Path(self.mapper).stem}." if self.mapper else ""
        return folder / self.bundle / f"{owner}{self.network}{self.kind.suffix}"


def files(levels_mapper: Path) -> Iterator[File]:
    """All files; `levels_mapper` is a mapper of StyleCLIP's form for StyleGAN2."""
    for network in TABLE:
        for kind in KINDS:
            if kind is not HALF or not network.startswith("edit_"):
                yield File("ffhq-mobile", network, "", kind)
    for network in MAPPERS:
        for kind in KINDS:
            yield File("ffhq-mobile", network, "smiling", kind)
    yield File("stylegan2-256", "synthesis", "", ONNX)
    for kind in (ONNX, FUSED, COMPILED):
        for network in LARGE:
            yield File("official-sizes", network, "", kind)
        for network in ("mapper", "mapper_synthesis"):
            yield File("official-sizes", network, str(levels_mapper), kind)


def bundle(name: str) -> Bundle:
    """The default bundle, or one of the official networks' sizes with random weights."""
    if name == "ffhq-mobile":
        return default_bundle()
    manifest = Manifest(name=name, defaults={"l2": 0.001, "id": 0.008})
    resolution = 256 if name == "stylegan2-256" else 1024
    return Bundle(name, manifest, stylegan2(resolution), clip_vit_b32(), ir_se50())


def random_levels_mapper(folder: Path) -> Path:
    """A mapper of StyleCLIP's own form for StyleGAN2 at 1024 px, with random weights."""
    path = folder / "levels.safetensors"
    if not path.is_file():
        torch.manual_seed(0)
        mapper_file.save(LevelsMapper(LevelsMapperConfig()).eval(), path, mapper_file.Origin())
    return path


def record(file: File, network: Network, folder: Path, again: bool) -> Record:
    """Make the file if it is not there, compare it, and keep what was found beside it."""
    path = file.path(folder)
    known = path.with_name(f"{path.name}.json")
    if path.is_file() and known.is_file() and not again:
        found: Record = json.loads(known.read_text())
        return found
    load = os.getloadavg()[0]
    if path.is_file():
        report = verify(network, path)
    else:
        path.parent.mkdir(parents=True, exist_ok=True)
        report = file.kind.export(network, file.bundle, path, file.kind.precision)
    row = max(report.rows, key=nearness)
    found = {
        "bundle": file.bundle,
        "file": path.name,
        "kind": file.kind.heading,
        "row": asdict(row),
        "passed": report.passed,
        "max_error": max(row.max_error for row in report.rows),
        "mean_error": max(row.mean_error for row in report.rows),
        "eager_ms": report.eager_ms,
        "file_ms": report.file_ms,
        "bytes": report.bytes,
        "load": load,
        "time": time.strftime("%Y-%m-%d %H:%M"),
    }
    with replacing(known) as temporary:
        temporary.write_text(json.dumps(found))
    return found


def by_itself(known: Path) -> Record:
    """Measure what `benchmarks.onnx_runtime` does with the files in the folder of `known`, and keep
    it there."""
    folder = known.parent
    load = os.getloadavg()[0]
    drawing = {256: "stylegan2-256", 1024: "official-sizes"}
    mapping = ("ffhq-mobile/smiling.mapper.onnx", "official-sizes/levels.mapper.onnx")
    found = {
        "synthesis": {
            size: onnx_runtime.against_naive(folder / bundle_name / "synthesis.onnx", size)
            for size, bundle_name in drawing.items()
        },
        "mappers": {name: onnx_runtime.alone(folder / name) for name in mapping},
        "load": load,
    }
    with replacing(known) as temporary:
        temporary.write_text(json.dumps(found))
    return found


def nearness(row: ComparedOutput) -> float:
    """How near an output is to its bound; 1 is at it."""
    if row.measure == "relative error":
        return row.score / row.bound
    if row.measure == "cosine":
        return (1 - row.score) / (1 - row.bound)
    return 10 ** ((row.bound - row.score) / 20)


def text(records: list[Record], alone: Record) -> str:
    """The page."""
    found = machine()
    versions = ", ".join(f"{name} {v}" for name, v in found["versions"].items() if v)
    loads = [record["load"] for record in records]
    lines = [
        "# What was exported",
        "",
        "Made by `python -m benchmarks.exports`; every file was written by the exporters of",
        "[EXPORT.md](EXPORT.md) and compared with eager PyTorch on fresh random inputs, batches of",
        "one and three. Errors are the largest over all outputs; the score is that of the output",
        "nearest to its bound. Latencies are of one face, the file and eager (with this package's",
        "compiled ops) by turns in one process: median (least to most), in milliseconds.",
        "",
        f"{found['cpu']}, {found['cores']} threads, {found['system']}, Python {found['python']};",
        f"{versions}. The last column is the load of the machine before, here {min(loads):.1f} to",
        f"{max(loads):.1f}: other work beside makes latencies longer and uneven.",
        "",
    ]
    if alone:
        lines += [*alone_table(alone), ""]
    for name, heading in (
        ("ffhq-mobile", "The default bundle, real weights"),
        ("official-sizes", "StyleGAN2 config-f 1024, CLIP ViT-B/32, IR-SE50, random weights"),
    ):
        lines += [f"## {heading}", "", *table([r for r in records if r["bundle"] == name]), ""]
    return "\n".join(lines)


def alone_table(found: Record) -> Iterator[str]:
    """What ONNX Runtime does by itself."""
    yield "## ONNX Runtime by itself"
    yield ""
    yield "StyleGAN2's synthesis, our portable file and a naive export of the textbook network (its"
    yield "weights modulated for each face; a fixed batch of one) by turns on the same threads; and"
    yield f"{onnx_runtime.CALLS} calls of a mapper with nothing between. Milliseconds; load before"
    yield f"{found['load']:.1f}."
    yield ""
    rows = []
    for size, times in found["synthesis"].items():
        ours, naive = times["ours"], times["naive"]
        share = statistics.median(b / a for a, b in zip(ours, naive, strict=True))
        rows.append([f"synthesis, {size} px", spread(ours), spread(naive), f"{share:.2f}"])
    rows += [[name, spread(times), "", ""] for name, times in found["mappers"].items()]
    yield from markdown.table(["", "ours", "naive", "naive takes"], rows).splitlines()


def table(records: list[Record]) -> Iterator[str]:
    """One row a file."""
    head = (
        "file",
        "MB",
        "max error",
        "mean error",
        "score",
        "bound",
        "file ms",
        "eager ms",
        "load",
    )
    rows = []
    for r in records:
        row = r["row"]
        score = "exact" if math.isinf(row["score"]) else f"{row['score']:.6g}"
        bound = f"{row['bound']:g} {row['measure']}"
        rows.append(
            [
                r["file"],
                f"{r['bytes'] / 1e6:.1f}",
                f"{r['max_error']:.1e}",
                f"{r['mean_error']:.1e}",
                score,
                bound,
                spread(r["file_ms"]),
                spread(r["eager_ms"]),
                f"{r['load']:.1f}",
            ]
        )
    yield from markdown.table(head, rows).splitlines()


def spread(values: list[float]) -> str:
    """Median (least to most)."""
    return f"{statistics.median(values):.3g} ({min(values):.3g} to {max(values):.3g})"


def main() -> None:
    """See above."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.exports")
    parser.add_argument("--files", type=Path, default=ROOT / "build" / "exports")
    parser.add_argument("--only", default="", help="Only files whose path has this word.")
    parser.add_argument("--again", action="store_true")
    arguments = parser.parse_args()
    folder: Path = arguments.files
    folder.mkdir(parents=True, exist_ok=True)
    keep_freed_memory()
    every = list(files(random_levels_mapper(folder)))
    wanted = [file for file in every if arguments.only in str(file.path(folder))]
    bar = tqdm(wanted, unit="file")
    for file in bar:
        bar.set_postfix_str(f"{file.bundle}/{file.path(folder).name}")
        record(file, build(bundle(file.bundle), file.network, file.mapper), folder, arguments.again)
    known = folder / "onnx_runtime.json"
    if arguments.only in str(known) and (arguments.again or not known.is_file()):
        by_itself(known)
    alone = json.loads(known.read_text()) if known.is_file() else {}
    paths = [path.with_name(f"{path.name}.json") for path in (f.path(folder) for f in every)]
    records = [json.loads(path.read_text()) for path in paths if path.is_file()]
    (ROOT / "docs" / "EXPORTED.md").write_text(text(records, alone), encoding="utf-8")


if __name__ == "__main__":
    main()
