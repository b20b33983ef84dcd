"""What commands that edit without the optimiser do alike: make the edits and write them."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import click

from styleclip_rt.cli.options import Faces

if TYPE_CHECKING:
    from styleclip_rt.runtime.mapper import MapperRuntime
    from styleclip_rt.runtime.moves import Move


def save_edits(
    runtime: "MapperRuntime",
    faces: Faces,
    moves: "Sequence[Move]",
    out: Path,
    names: Sequence[str],
    bundle_name: str,
    any_prompt: bool = False,
    shares: Sequence[Sequence[int]] | None = None,
) -> None:
    """Edit the faces and write them: one into `out`, several into folders in it, and those of a
    photograph into one picture of it.

    Args:
        names: of what the moves are called, one each.
        shares: for each face of a photograph the numbers of the moves that are its own; every face
            is edited by all of them, if there are none.
    """
    # Nothing here imports torch, so that an engine can do without.
    from styleclip_rt.runtime.moves import TRUNCATION_PSI
    from styleclip_rt.runtime.results import save_group, save_mapped

    starts = faces.read(runtime.networks, TRUNCATION_PSI)
    title = " + ".join(names)
    known: dict[str, object] = {"bundle": bundle_name}
    if faces.image is not None and len(starts) > 1:
        each = [list(moves)] * len(starts)
        if shares is not None:
            each = [[moves[i] for i in share] for share in shares]
            title = ", ".join(dict.fromkeys(names))
        group = runtime.edit_together(starts, each, any_prompt)
        known["faces"] = [[vars(move) for move in its] for its in each]
        save_group(group, runtime.networks.fingerprint, out, title, known)
        click.echo(f"{title!r}: {out / 'comparison.png'}")
        return
    known["moves"] = [vars(move) for move in moves]
    edited = runtime.edit_starts(starts, moves, any_prompt)
    for i, (face, start) in enumerate(zip(edited, starts, strict=True)):
        name = f"face{i + 1}" if start.seed is None else f"seed{start.seed}"
        folder = out if len(starts) == 1 else out / name
        save_mapped(
            face, runtime.networks.fingerprint, folder, title, {**known, "seed": start.seed}
        )
        click.echo(f"{title!r}: {folder / 'comparison.png'}")
