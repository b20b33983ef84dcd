"""Options that several commands take, each declared once."""

from collections.abc import Callable

import click


def engine_options(command: Callable[..., None]) -> Callable[..., None]:
    """Which bundle, where to run and how precisely."""
    for option in (
        click.option("--bundle", "bundle_name", default="ffhq-mobile", show_default=True),
        click.option("--device", default="auto", show_default=True, help="auto, cpu, cuda."),
        click.option("--precision", default="auto", show_default=True, help="auto, fp32, bf16."),
    ):
        command = option(command)
    return command


def loop_options(command: Callable[..., None]) -> Callable[..., None]:
    """The settings of an edit that people change."""
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
