"""``styleclip evaluate`` and ``styleclip compare-spaces``: many edits, judged by probes."""

from pathlib import Path

import click

from styleclip_rt.cli.options import networks_options


@click.command()
@click.argument("prompts", nargs=-1, metavar="[PROMPT]...")
@click.option("--seeds", type=click.IntRange(1), default=20, show_default=True, help="Faces each.")
@click.option("--out", type=click.Path(path_type=Path), default=Path("out/evaluation"))
@networks_options
def evaluate(
    prompts: tuple[str, ...], seeds: int, out: Path, bundle_name: str, device: str, precision: str
) -> None:
    """Edit many faces in w+ and judge every edit with independent probes (extra: probes)."""
    from styleclip_rt.runtime.editor import Editor
    from styleclip_rt.runtime.studies.edits import GOAL_PROMPTS, run_study, summary

    editor = Editor.from_bundle(bundle_name, device, precision)
    rows = run_study(editor, prompts or GOAL_PROMPTS, ("w+",), seeds, out)
    click.echo(summary(rows))


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
