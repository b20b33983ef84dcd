"""``styleclip evaluate`` and ``styleclip compare-spaces``: many edits, judged by probes."""

from pathlib import Path

import click

from styleclip_rt.cli.options import networks_options
from styleclip_rt.errors import StyleClipError
from styleclip_rt.looks import DIRECTIONS


@click.command()
@click.argument("prompts", nargs=-1, metavar="[PROMPT]...")
@click.option("--seeds", type=click.IntRange(1), help="Faces each; 20.")
@click.option(
    "--images",
    type=click.Path(path_type=Path),
    help="Edit the photographs of a folder by the mappers that ship instead.",
)
@click.option("--quality", help="Of the photographs' inversion: fast or best.")
@click.option("--looks", is_flag=True, help="Edit photographs by every look too; much longer.")
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
    looks: bool,
    out: Path | None,
    bundle_name: str,
    device: str,
    precision: str,
) -> None:
    """Edit many faces and judge every edit with independent probes (extra: probes): generated ones
    in w+ by the optimiser, or photographs by mapper: by every prompt but the looks, or by those
    that are given."""
    if images is not None:
        if seeds is not None or precision != "auto":
            raise StyleClipError("--seeds and --precision do not go with --images: leave them out.")
        from styleclip_rt.bundle.mappers import shipped
        from styleclip_rt.runtime.mapper import MapperRuntime
        from styleclip_rt.runtime.studies.photographs import PhotographStudy
        from styleclip_rt.runtime.studies.photographs import summary as told

        mappers = [name for name in shipped() if looks or prompts or name != DIRECTIONS]
        runtime = MapperRuntime.from_bundle(mappers, bundle_name, device)
        out = out or Path("out/photographs")
        click.echo(told(*PhotographStudy(runtime, images, out, quality or "fast", prompts).run()))
        return
    if quality is not None or looks:
        option = "--looks" if quality is None else "--quality"
        raise StyleClipError(f"{option} goes with --images: name a folder of photographs.")
    from styleclip_rt.runtime.editor import Editor
    from styleclip_rt.runtime.studies.edits import GOAL_PROMPTS, run_study, summary

    editor = Editor.from_bundle(bundle_name, device, precision)
    out = out or Path("out/evaluation")
    click.echo(summary(run_study(editor, prompts or GOAL_PROMPTS, ("w+",), seeds or 20, out)))


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
