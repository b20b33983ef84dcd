"""``styleclip evaluate`` and ``styleclip compare-spaces``: many edits, judged by probes."""

from pathlib import Path

import click

from styleclip_rt.cli.options import networks_options
from styleclip_rt.errors import StyleClipError


@click.command()
@click.argument("prompts", nargs=-1, metavar="[PROMPT]...")
@click.option("--seeds", type=click.IntRange(1), help="Faces each; 20.")
@click.option(
    "--images",
    type=click.Path(path_type=Path),
    help="Edit the photographs of a folder by the mappers that ship instead.",
)
@click.option("--quality", help="Of the photographs' inversion: fast or best.")
@click.option(
    "--out",
    type=click.Path(path_type=Path),
    help="out/evaluation, or out/photographs for those of --images.",
)
@networks_options
def evaluate(
    prompts: tuple[str, ...],
    seeds: int | None,
    images: Path | None,
    quality: str | None,
    out: Path | None,
    bundle_name: str,
    device: str,
    precision: str,
) -> None:
    """Edit many faces and judge every edit with independent probes (extra: probes): generated ones
    in w+ by the optimiser, or photographs by mapper."""
    if images is not None:
        if seeds is not None or precision != "auto":
            raise StyleClipError("--seeds and --precision do not go with --images: leave them out.")
        _evaluate_photographs(
            prompts, images, quality or "fast", out or Path("out/photographs"), bundle_name, device
        )
        return
    if quality is not None:
        raise StyleClipError("--quality goes with --images: name a folder of photographs.")
    from styleclip_rt.runtime.editor import Editor
    from styleclip_rt.runtime.studies.edits import GOAL_PROMPTS, run_study, summary

    editor = Editor.from_bundle(bundle_name, device, precision)
    out = out or Path("out/evaluation")
    click.echo(summary(run_study(editor, prompts or GOAL_PROMPTS, ("w+",), seeds or 20, out)))


def _evaluate_photographs(
    prompts: tuple[str, ...], images: Path, quality: str, out: Path, bundle_name: str, device: str
) -> None:
    from styleclip_rt.bundle.mappers import shipped
    from styleclip_rt.runtime.mapper import MapperRuntime
    from styleclip_rt.runtime.studies.photographs import PhotographStudy, summary

    runtime = MapperRuntime.from_bundle(list(shipped()), bundle_name, device)
    click.echo(summary(*PhotographStudy(runtime, images, out, quality, prompts).run()))


@click.command("compare-spaces")
@click.argument("prompts", nargs=-1, metavar="[PROMPT]...")
@click.option("--seeds", type=click.IntRange(1), default=1, show_default=True, help="Faces each.")
@click.option("--spaces", default="z,w,w+,s", show_default=True)
@click.option("--out", type=click.Path(path_type=Path), default=Path("out/spaces"))
@networks_options
def compare_spaces(
    prompts: tuple[str, ...],
    seeds: int,
    spaces: str,
    out: Path,
    bundle_name: str,
    device: str,
    precision: str,
) -> None:
    """Make the same edits in z, w, w+ and StyleSpace, side by side (extra: probes)."""
    from styleclip_rt.runtime.editor import Editor
    from styleclip_rt.runtime.studies.edits import REPORT_PROMPTS, run_study, summary

    editor = Editor.from_bundle(bundle_name, device, precision)
    chosen = [space.strip() for space in spaces.split(",")]
    rows = run_study(editor, prompts or REPORT_PROMPTS, chosen, seeds, out, fresh_faces=False)
    click.echo(summary(rows))
