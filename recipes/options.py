"""Options that several recipes take, each declared once."""

from collections.abc import Callable
from pathlib import Path

import click

Decorator = Callable[[Callable[..., None]], Callable[..., None]]

_folder = click.Path(path_type=Path, file_okay=False)

seed: Decorator = click.option("--seed", type=int, default=0, show_default=True)
precision: Decorator = click.option(
    "--precision", default="auto", show_default=True, help="auto, fp32, bf16."
)
faces: Decorator = click.option(
    "--faces",
    type=_folder,
    default=Path("out/recipes/faces"),
    show_default=True,
    help="Labelled faces (training-faces); made first if they are not there.",
)
latents: Decorator = click.option(
    "--latents",
    type=_folder,
    default=Path("out/latents"),
    show_default=True,
    help="Data set (styleclip dataset generate); made first if it is not there.",
)


def out(name: str) -> Decorator:
    """The folder of what the recipe `name` makes."""
    default = Path("out/recipes") / name
    return click.option("--out", type=_folder, default=default, show_default=True)


def steps(count: int) -> Decorator:
    """Optimiser steps, `count` where none are given."""
    return click.option("--steps", type=click.IntRange(1), default=count, show_default=True)
