"""``styleclip export`` and ``styleclip verify``."""

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from styleclip_rt.cli.options import bundle_option
from styleclip_rt.errors import ExportError
from styleclip_rt.folders import exports_folder

if TYPE_CHECKING:
    from styleclip_rt.export.verification import Report


@click.group()
def export() -> None:
    """Write networks and the edit step as files for other runtimes, each verified."""


def _options(command: Callable[..., None]) -> Callable[..., None]:
    for option in (
        bundle_option,
        click.option("--network", "names", multiple=True, help="Only these; repeatable."),
        click.option("--mapper", default="", help="Export this mapper: a shipped one, or a file."),
        click.option("--precision", default="fp32", show_default=True, help="fp32 or fp16."),
        click.option(
            "--out", type=click.Path(path_type=Path), help="Folder; the bundle's in the cache."
        ),
    ):
        command = option(command)
    return command


@export.command()
@_options
def onnx(**options: Any) -> None:
    """ONNX, of standard operators only (extra: onnx)."""
    from styleclip_rt.export.onnx import export_onnx

    _export(export_onnx, ".onnx", **options)


@export.command()
@_options
@click.option("--fused", is_flag=True, help="Keep this package's compiled ops.")
def torchscript(fused: bool, **options: Any) -> None:
    """TorchScript, for libtorch."""
    from styleclip_rt.export.torchscript import export_torchscript

    _export(partial(export_torchscript, fused=fused), ".fused.ts" if fused else ".ts", **options)


@export.command()
@_options
def aotinductor(**options: Any) -> None:
    """Machine code for this CPU, with this package's compiled ops; needs a C++ compiler."""
    from styleclip_rt.export.aotinductor import export_aotinductor

    _export(export_aotinductor, ".pt2", **options)


@export.command()
@_options
@click.option("--batch", type=click.IntRange(1), default=4, show_default=True, help="At most.")
def tensorrt(batch: int, **options: Any) -> None:
    """TensorRT, for the GPU that is here (extra: tensorrt)."""
    from styleclip_rt.export.tensorrt import export_tensorrt

    _export(partial(export_tensorrt, batch=batch), ".engine", **options)


def _export(
    exporter: Callable[..., "Report"],
    suffix: str,
    bundle_name: str,
    names: tuple[str, ...],
    mapper: str,
    precision: str,
    out: Path | None,
) -> None:
    from tqdm import tqdm

    from styleclip_rt.bundle import load_bundle
    from styleclip_rt.export.inversion import INVERSION_NETWORKS
    from styleclip_rt.export.mappers import MAPPER_NETWORKS
    from styleclip_rt.export.photos import PHOTO_NETWORKS
    from styleclip_rt.export.table import build, networks

    bundle = load_bundle(bundle_name)
    folder = exports_folder(bundle, out)
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise ExportError(
            f"{folder} cannot be made ({error.strerror}): choose another folder with --out."
        ) from None
    if precision != "fp32":
        suffix = f".{precision}{suffix}"
    chosen = list(names) or networks(bundle, mapper)
    if not names and not mapper and bundle.identity is not None and suffix == ".onnx":
        chosen += (*INVERSION_NETWORKS, *PHOTO_NETWORKS)
    if not names and precision != "fp32":
        chosen = [name for name in chosen if not name.startswith("edit_")]
    reports = []
    bar = tqdm(chosen, unit="network")
    for name in bar:
        bar.set_description(name)
        owner = f"{Path(mapper).stem}." if name in MAPPER_NETWORKS else ""
        path = folder / f"{owner}{name}{suffix}"
        reports.append(exporter(build(bundle, name, mapper), bundle.name, path, precision))
    _show(reports)
    click.echo(f"\n{len(reports)} files in {folder}")


def _show(reports: list["Report"]) -> None:
    for i, report in enumerate(reports):
        click.echo(report.table() if i == 0 else "\n".join(report.lines()))


@click.command()
@click.argument("files", nargs=-1, required=True, type=click.Path(path_type=Path))
@click.option("--bundle", "bundle_name", help="Compare with this bundle, not the file's own.")
@click.option("--mapper", default="", help="Compare with this mapper, not the file's own.")
@click.option("--device", default="cpu", show_default=True, help="cpu or cuda.")
def verify(files: tuple[Path, ...], bundle_name: str | None, mapper: str, device: str) -> None:
    """Compare exported FILES with eager PyTorch on fresh random inputs.

    Exits with 1 when a bound is missed.
    """
    from styleclip_rt import engines
    from styleclip_rt.bundle import Bundle, load_bundle
    from styleclip_rt.export.table import build
    from styleclip_rt.export.verification import verify as compare

    bundles: dict[str, Bundle] = {}
    reports = []
    for path in files:
        info = engines.read_info(path)
        name = bundle_name or info.bundle
        if name not in bundles:
            bundles[name] = load_bundle(name)
        network = build(bundles[name], info.network, mapper or info.mapper)
        reports.append(compare(network, path, device))
    _show(reports)
    failed = [report.path.name for report in reports if not report.passed]
    if failed:
        click.echo(f"error: bounds missed by {', '.join(failed)}.", err=True)
        raise SystemExit(1)
