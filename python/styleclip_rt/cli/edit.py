"""``styleclip edit``."""

import re
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from styleclip_rt.cli.options import engine_options, loop_options
from styleclip_rt.errors import StyleClipError

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray


@click.command()
@click.argument("prompts", nargs=-1, required=True, metavar="PROMPT...")
@click.option("--seed", "seeds", type=int, multiple=True, help="Face to start from; repeatable.")
@click.option("--latent", type=click.Path(path_type=Path), help="latent.safetensors to start from.")
@click.option("--mean", is_flag=True, help="Start from the mean face.")
@click.option("--out", type=click.Path(path_type=Path), default=Path("out"), show_default=True)
@click.option("--space", help="z, w, w+ or s.")
@click.option("--mode", help="edit, or generate: no tie to the start.")
@click.option("--clip-loss", "clip", help="absolute or directional.")
@click.option("--patience", type=int, help="Stop after so many steps without improvement.")
@click.option("--frames", "frames_every", type=int, default=0, help="Keep a draft every N steps.")
@click.option("--engine", default="torch", show_default=True, help="See styleclip info.")
@click.option("--exports", type=click.Path(path_type=Path), help="Folder of the exported files.")
@loop_options
@engine_options
def edit(
    prompts: tuple[str, ...],
    seeds: tuple[int, ...],
    latent: Path | None,
    mean: bool,
    out: Path,
    frames_every: int,
    engine: str,
    exports: Path | None,
    bundle_name: str,
    device: str,
    precision: str,
    **settings: Any,
) -> None:
    """Edit a face so that it looks like PROMPT; several prompts or seeds run as one batch."""
    # Nothing here imports torch, so that an engine can do without.
    import numpy as np

    from styleclip_rt.runtime.editor import Editor
    from styleclip_rt.runtime.results import check_writable

    if sum((bool(seeds), latent is not None, mean)) > 1:
        raise StyleClipError("give only one of --seed, --latent and --mean.")
    check_writable(out)
    given = None if latent is None else read_latent(latent)
    editor = Editor.from_bundle(bundle_name, device, precision, engine, exports)
    if mean:
        given = editor.engine.mean_latent()[None]
    starts: list[int | None] = list(seeds or (0,)) if given is None else [None]
    jobs = [(prompt, seed) for prompt in prompts for seed in starts]
    results = editor.edit_many(
        [prompt for prompt, _ in jobs],
        seeds=None if given is not None else [seed for _, seed in jobs if seed is not None],
        latents=None if given is None else np.repeat(given, len(jobs), axis=0),
        progress=True,
        frames_every=frames_every,
        **settings,
    )
    for result, (prompt, seed) in zip(results, jobs, strict=True):
        folder = out if len(jobs) == 1 else out / _folder_name(prompt, seed)
        result.save(folder)
        _say_how_known(result.known_text)
        click.echo(f"{prompt!r}: {folder / 'comparison.png'}")
    if any(result.interrupted for result in results):
        sys.exit(130)


def _say_how_known(share: float | None) -> None:
    if share is not None and share < 1:
        click.echo(
            f"note: this bundle's CLIP has seen {share:.0%} of the prompt's words in training; "
            "what it makes of the others is a guess.",
            err=True,
        )


def _folder_name(prompt: str, seed: int | None) -> str:
    slug = re.sub(r"[^a-z0-9]+", "-", prompt.lower()).strip("-")[:60] or "prompt"
    return slug if seed is None else f"{slug}-seed{seed}"


def read_latent(path: Path) -> "NDArray[np.float32]":
    """The array in a latent.safetensors that an edit saved.

    Raises:
        StyleClipError: the file holds none.
    """
    from safetensors import SafetensorError
    from safetensors.numpy import load_file

    try:
        latent: NDArray[np.float32] = load_file(path)["latent"]
        return latent
    except (OSError, SafetensorError, KeyError) as error:
        raise StyleClipError(
            f"{path} is not a latent that an edit saved ({error}): give its latent.safetensors."
        ) from None
