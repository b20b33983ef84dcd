"""``styleclip looks`` and ``styleclip look``: edits by name, in one pass."""

from pathlib import Path

import click

from styleclip_rt.cli.options import Faces, bundle_option, device_option, start_options
from styleclip_rt.errors import StyleClipError

_folder = click.Path(path_type=Path, file_okay=False)


@click.command()
@click.option(
    "--sheet",
    type=click.Path(path_type=Path, dir_okay=False),
    help="Draw each look at its strengths on the faces into this PNG.",
)
@start_options
@device_option
@bundle_option
def looks(sheet: Path | None, faces: Faces, device: str, bundle_name: str) -> None:
    """List the looks that `styleclip look` knows: name, what less of it is, strengths, synonyms."""
    from styleclip_rt.looks import looks as table

    if sheet is None:
        for look in table():
            less = f" (less: {look.less[0]})" if look.less else ""
            phrases = ", ".join((*look.says, *look.less[1:]))
            click.echo(f"{look.name}{less}  {look.least:g} to {look.most:g}")
            if phrases:
                click.echo(f"    {phrases}")
        return
    from styleclip_rt.files import check_writable
    from styleclip_rt.pictures import save_png
    from styleclip_rt.runtime.looks import look_sheet, mappers_for
    from styleclip_rt.runtime.mapper import MapperRuntime
    from styleclip_rt.runtime.moves import TRUNCATION_PSI, Move

    check_writable(sheet.parent)
    names = mappers_for([Move(look.mapper, look.prompt) for look in table()])
    runtime = MapperRuntime.from_bundle(names, bundle_name, device)
    starts = faces.read(runtime.networks, TRUNCATION_PSI)
    save_png(look_sheet(runtime, starts, table()), sheet, {})
    click.echo(f"{len(table())} looks: {sheet}")


@click.command()
@click.argument("names", nargs=-1, required=True, metavar="LOOK...")
@click.option(
    "--strength", "strengths", type=float, multiple=True, help="One for each look, in order."
)
@start_options
@click.option("--out", type=_folder, default=Path("out"), show_default=True)
@device_option
@bundle_option
def look(
    names: tuple[str, ...],
    strengths: tuple[float, ...],
    faces: Faces,
    out: Path,
    device: str,
    bundle_name: str,
) -> None:
    """Edit faces by one or several LOOKs of `styleclip looks` at once; less than 0 goes the other
    way. A LOOK may be a sentence that names several: "red hair and a slight smile"."""
    from styleclip_rt.cli.saving import save_edits
    from styleclip_rt.files import check_writable
    from styleclip_rt.runtime.looks import mappers_for, moves_said
    from styleclip_rt.runtime.mapper import MapperRuntime
    from styleclip_rt.runtime.results import check_spared

    if strengths and len(strengths) != len(names):
        raise StyleClipError(f"give --strength once for each of the {len(names)} looks.")
    each = [moves_said(name, strengths[i] if strengths else 1.0) for i, name in enumerate(names)]
    moves = [move for several in each for move in several]
    check_writable(out)
    check_spared(faces.image, out)
    shares = faces.shares(len(names), "look")
    if shares is not None:
        ends = [sum(map(len, each[:i])) for i in range(len(each) + 1)]
        shares = [[m for i in share for m in range(ends[i], ends[i + 1])] for share in shares]
    runtime = MapperRuntime.from_bundle(mappers_for(moves), bundle_name, device)
    save_edits(runtime, faces, moves, out, names, bundle_name, shares=shares)
