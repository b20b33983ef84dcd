"""Options that several commands take, each declared once."""

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import click

from styleclip_rt.errors import StyleClipError

if TYPE_CHECKING:
    from styleclip_rt.runtime.starts import Latents, Start

Command = Callable[..., None]


def _together(*options: Callable[[Command], Command]) -> Callable[[Command], Command]:
    def apply(command: Command) -> Command:
        for option in reversed(options):
            command = option(command)
        return command

    return apply


bundle_option = click.option(
    "--bundle", "bundle_name", default="ffhq-mobile", show_default=True, help="Name or folder."
)
device_option = click.option(
    "--device", default="auto", show_default=True, help="auto, cpu, cuda, cuda:1, ..."
)
precision_option = click.option(
    "--precision", default="auto", show_default=True, help="auto, fp32, bf16."
)
networks_options = _together(bundle_option, device_option, precision_option)
"""Which bundle, where to run and how precisely."""

engine_options = _together(
    click.option("--engine", default="torch", show_default=True, help="See styleclip info."),
    click.option("--exports", type=click.Path(path_type=Path), help="Folder of exported files."),
)
"""What computes: torch, or exported files without it."""

loop_options = _together(
    click.option("--steps", type=int, help="Optimiser steps."),
    click.option("--lr", "learning_rate", type=float, help="Adam's peak learning rate."),
    click.option("--l2", type=float, help="Weight of the distance to the start."),
    click.option("--id", type=float, help="Weight of the identity loss."),
    click.option("--preserve", type=float, help="Weight of what the prompt is not about."),
    click.option("--lead", type=float, help="How far the start leads to the look, 0 to 2."),
    click.option("--layers", help="Layer groups that may move: coarse,middle,fine."),
    click.option("--draft", type=int, help="Resolution of the loop in px; 0 for full."),
)
"""The settings of an edit that people change."""

start_options = _together(
    click.option("--seed", "seeds", type=int, multiple=True, help="Generated face; repeatable."),
    click.option(
        "--latent",
        type=click.Path(path_type=Path),
        help="File of latents: an edit's latent.safetensors, .npy, .npz, .pt.",
    ),
    click.option("--mean", is_flag=True, help="The mean face."),
    click.option("--psi", "truncation_psi", type=float, help="Truncation of generated faces."),
)
"""Which faces to edit; `starts` reads them."""


def starts(
    latents: "Latents",
    seeds: tuple[int, ...],
    latent: Path | None,
    mean: bool,
    truncation_psi: float,
) -> "list[Start]":
    """The faces that `start_options` name; that of seed 0, if they name none.

    Raises:
        StyleClipError: a file that holds no latents of this generator, or a seed out of range.
    """
    from styleclip_rt.runtime.starts import from_file, from_seeds, mean_face

    if latent is not None:
        return from_file(latents, latent)
    if mean:
        return [mean_face(latents)]
    return from_seeds(latents, list(dict.fromkeys(seeds)) or [0], truncation_psi)


def check_one_start(seeds: tuple[int, ...], latent: Path | None, mean: bool) -> None:
    """Raises StyleClipError if `start_options` name faces in more than one way."""
    if sum((bool(seeds), latent is not None, mean)) > 1:
        raise StyleClipError("give only one of --seed, --latent and --mean.")
