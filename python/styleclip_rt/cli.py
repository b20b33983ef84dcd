"""The command line: `styleclip`."""

import re
import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from styleclip_rt import __version__
from styleclip_rt.bundle_cli import bundle
from styleclip_rt.errors import StyleClipError
from styleclip_rt.export_cli import export, verify
from styleclip_rt.mapper_cli import dataset, mapper
from styleclip_rt.serve_cli import serve
from styleclip_rt.training_cli import (
    train_clip,
    train_directions,
    train_draft,
    train_faces,
    train_id,
)

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__)
def cli() -> None:
    """Edit faces by text."""


for group in (bundle, dataset, mapper, export):
    cli.add_command(group)
cli.add_command(verify)
cli.add_command(serve)
for command in (train_draft, train_faces, train_clip, train_id, train_directions):
    bundle.add_command(command)


def _engine_options(command: Callable[..., None]) -> Callable[..., None]:
    for option in (
        click.option("--bundle", "bundle_name", default="ffhq-mobile", show_default=True),
        click.option("--device", default="auto", show_default=True, help="auto, cpu, cuda."),
        click.option("--precision", default="auto", show_default=True, help="auto, fp32, bf16."),
    ):
        command = option(command)
    return command


def _loop_options(command: Callable[..., None]) -> Callable[..., None]:
    for option in (
        click.option("--steps", type=int, help="Optimiser steps."),
        click.option("--lr", "learning_rate", type=float, help="Adam's peak learning rate."),
        click.option("--l2", type=float, help="Weight of the distance to the start."),
        click.option("--id", type=float, help="Weight of the identity loss."),
        click.option("--preserve", type=float, help="Weight of what the prompt is not about."),
        click.option("--lead", type=float, help="How far the start leads to the look, 0 to 2."),
        click.option("--layers", help="Layer groups that may move: coarse,middle,fine."),
        click.option("--draft", type=int, help="Resolution of the loop in px; 0 for full."),
        click.option("--psi", "truncation_psi", type=float, help="Truncation of the start."),
    ):
        command = option(command)
    return command


@cli.command()
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
@_loop_options
@_engine_options
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


@cli.command()
@click.argument("prompts", nargs=-1, metavar="[PROMPT]...")
@click.option("--seeds", type=click.IntRange(1), default=20, show_default=True, help="Faces each.")
@click.option("--out", type=click.Path(path_type=Path), default=Path("out/evaluation"))
@_engine_options
def evaluate(
    prompts: tuple[str, ...], seeds: int, out: Path, bundle_name: str, device: str, precision: str
) -> None:
    """Edit many faces in w+ and judge every edit with independent probes (extra: probes)."""
    from styleclip_rt.runtime.editor import Editor
    from styleclip_rt.runtime.study import GOAL_PROMPTS, run_study, summary

    editor = Editor.from_bundle(bundle_name, device, precision)
    rows = run_study(editor, prompts or GOAL_PROMPTS, ("w+",), seeds, out)
    click.echo(summary(rows))


@cli.command("compare-spaces")
@click.argument("prompts", nargs=-1, metavar="[PROMPT]...")
@click.option("--seeds", type=click.IntRange(1), default=1, show_default=True, help="Faces each.")
@click.option("--spaces", default="z,w,w+,s", show_default=True)
@click.option("--out", type=click.Path(path_type=Path), default=Path("out/spaces"))
@_engine_options
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
    from styleclip_rt.runtime.study import REPORT_PROMPTS, run_study, summary

    editor = Editor.from_bundle(bundle_name, device, precision)
    chosen = [space.strip() for space in spaces.split(",")]
    rows = run_study(editor, prompts or REPORT_PROMPTS, chosen, seeds, out, fresh_faces=False)
    click.echo(summary(rows))


@cli.command()
def info() -> None:
    """Show versions, devices, and which kernels and engines are here."""
    import torch

    from styleclip_rt import engines
    from styleclip_rt.ops import _library

    click.echo(f"styleclip-rt {__version__}, torch {torch.__version__}")
    compiled = f"yes ({_library.PATH})" if _library.load() else "no (slower reference ops)"
    click.echo(f"compiled ops: {compiled}")
    click.echo(f"threads: {torch.get_num_threads()}")
    cuda = torch.cuda.get_device_name() if torch.cuda.is_available() else "none"
    click.echo(f"CUDA device: {cuda}")
    for name in engines.KINDS:
        missing = engines.why_missing(name)
        click.echo(f"engine {name}: {f'no ({missing})' if missing else 'yes'}")


def main() -> None:
    """Entry point: 0 done, 2 bad input (one sentence on stderr), 130 interrupted."""
    try:
        cli.main(standalone_mode=False)
    except click.exceptions.Abort:
        sys.exit(130)
    except KeyboardInterrupt:
        sys.exit(130)
    except click.ClickException as error:
        error.show()
        sys.exit(2)
    except StyleClipError as error:
        click.echo(f"error: {error}", err=True)
        sys.exit(2)


if __name__ == "__main__":
    main()
