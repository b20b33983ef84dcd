"""``styleclip mapper``: trained edits in one pass."""

import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from styleclip_rt.cli.options import (
    Faces,
    bundle_option,
    device_option,
    engine_options,
    precision_option,
    start_options,
)
from styleclip_rt.errors import StyleClipError

if TYPE_CHECKING:
    from styleclip_rt.training.mapper import MapperTrainer, Painter

_folder = click.Path(path_type=Path, file_okay=False)
_latents = click.option("--latents", type=_folder, default=Path("out/latents"), show_default=True)


@click.group()
def mapper() -> None:
    """Mappers: trained edits in one pass."""


@mapper.command("list")
def list_command() -> None:
    """Show the mappers that ship with the package, and their prompts."""
    from styleclip_rt.bundle.mappers import shipped
    from styleclip_rt.checkpoints import mapper_file

    for name, path in shipped().items():
        network, origin = mapper_file.load(path)
        click.echo(f"{name}  (bundle {origin.bundle})\n    {', '.join(network.prompts)}")


@mapper.command()
@click.option("--prompts", required=True, help='Comma-separated, e.g. "red hair,green hair".')
@_latents
@click.option("--out", type=_folder, default=Path("out/mapper"), show_default=True)
@click.option("--layers", help="Layer groups that may move: coarse,middle,fine.")
@click.option("--steps", type=int, help="Optimiser steps.")
@click.option("--faces", type=int, help="Faces a step, each drawn with every prompt.")
@click.option("--lr", "learning_rate", type=float, help="Adam's peak rate for the directions.")
@click.option("--l2", type=float, help="Weight of the move's squared length.")
@click.option("--lead", type=float, help="Start at this reading of the look's measured direction.")
@click.option("--hold", help='Looks that the start leaves alone, e.g. "glasses,a man,smiling".')
@click.option("--paint", type=float, hidden=True)
@click.option("--id", type=float, help="Weight of the identity loss.")
@click.option("--preserve", type=float, help="Weight of what the prompt is not about.")
@click.option("--draft", type=int, help="Resolution to draw at in px; 0 for full.")
@click.option("--val-every", type=int, help="Steps between validations.")
@click.option("--val-faces", type=int, help="Validation faces.")
@click.option("--save-every", type=int, help="Steps between checkpoints.")
@click.option("--patience", type=int, help="Stop after so many validations without improvement.")
@click.option("--seed", type=int)
@precision_option
@bundle_option
def train(**options: Any) -> None:
    """Train a mapper; run it again to go on after an interruption.

    Under torchrun or `accelerate launch` several devices share the work (extra: distributed).
    """
    if options.pop("paint"):
        raise StyleClipError(
            "painted looks are taught by the project's label models, which are not installed: run "
            "`python -m recipes train-painted` with the same options in its repository."
        )
    run_trainer(mapper_trainer(**options))


def mapper_trainer(
    prompts: str,
    latents: Path,
    out: Path,
    bundle_name: str,
    precision: str,
    hold: str | None = None,
    id: float | None = None,
    preserve: float | None = None,
    draft: int | None = None,
    painter: "Painter | None" = None,
    **options: Any,
) -> "MapperTrainer":
    """The trainer that the options of `mapper train` describe; those left out are None."""
    import torch

    from styleclip_rt.bundle import load_bundle
    from styleclip_rt.devices import choose_precision
    from styleclip_rt.training.mapper import MapperSettings, MapperTrainer

    loss = {"id": id, "preserve": preserve, "draft": draft}
    settings = MapperSettings(
        prompts=prompt_list(prompts),
        hold=() if hold is None else prompt_list(hold),
        loss={name: value for name, value in loss.items() if value is not None},
        **{name: value for name, value in options.items() if value is not None},
    )
    devices = accelerator()
    device = torch.device("cpu") if devices is None else devices.device
    precision = choose_precision(precision, device)
    return MapperTrainer(
        load_bundle(bundle_name), latents, out, settings, precision, devices, painter
    )


def run_trainer(trainer: "MapperTrainer") -> None:
    """Train to the end, from where an earlier run stopped, and say what came of it."""
    if trainer.resume():
        click.echo(f"going on from step {trainer.step}", err=True)
    best = trainer.run(progress=True)
    if trainer.rank == 0:
        click.echo(f"best validation loss {best:.4f}: {trainer.folder / 'best.safetensors'}")


def accelerator() -> Any:
    """An Accelerator where several processes were launched, or a GPU is there; else None."""
    import torch

    if int(os.environ.get("WORLD_SIZE", "1")) == 1 and not torch.cuda.is_available():
        return None
    try:
        from accelerate import Accelerator
    except ImportError:
        raise StyleClipError(
            "training on a GPU or in several processes needs accelerate: "
            "pip install 'styleclip-rt[distributed]'."
        ) from None
    return Accelerator(cpu=not torch.cuda.is_available())


@mapper.command()
@click.argument("name", metavar="MAPPER")
@click.option("--prompts", required=True, help="Comma-separated; the others are dropped.")
@click.option(
    "--strength",
    "strengths",
    type=click.FloatRange(0, min_open=True),
    multiple=True,
    default=(1.0,),
    show_default=True,
    help="That is to be strength 1: once for all, or once for each prompt, in order.",
)
@click.option("--out", type=click.Path(path_type=Path, dir_okay=False), required=True)
def keep(name: str, prompts: str, strengths: tuple[float, ...], out: Path) -> None:
    """Write a MAPPER for some of its prompts, say those that passed `mapper evaluate`."""
    from styleclip_rt.bundle.mappers import find
    from styleclip_rt.checkpoints import mapper_file
    from styleclip_rt.models.mapper import PromptMapper

    network, origin = mapper_file.load(find(name))
    wanted = prompt_list(prompts)
    if unknown := [prompt for prompt in wanted if prompt not in network.prompts]:
        raise StyleClipError(
            f"the mapper {name!r} was not trained for the prompt {unknown[0]!r}: "
            f"choose from {', '.join(network.prompts) or 'none'}."
        )
    if len(strengths) == 1:
        strengths *= len(wanted)
    if len(strengths) != len(wanted):
        raise StyleClipError(
            f"give --strength once, or once for each of the {len(wanted)} prompts, "
            f"not {len(strengths)} times."
        )
    if not isinstance(network, PromptMapper):
        raise StyleClipError(f"the mapper {name!r} was not trained here: it is kept as it is.")
    mapper_file.save(network.keeping(wanted, strengths), out, origin)
    click.echo(f"{out}: {', '.join(wanted)}")


def prompt_list(text: str) -> tuple[str, ...]:
    """Comma-separated prompts, in lower case and with single blanks."""
    return tuple(" ".join(prompt.lower().split()) for prompt in text.split(","))


@mapper.command()
@click.argument("mappers", nargs=-1, required=True, metavar="MAPPER...")
@click.option("--prompt", "prompts", multiple=True, help="One for each mapper, in order.")
@click.option("--strength", "strengths", type=float, multiple=True, help="0 to 1.5, likewise.")
@click.option("--any-prompt", is_flag=True, help="Mix known prompts for one that is not.")
@start_options
@click.option("--out", type=_folder, default=Path("out"), show_default=True)
@engine_options
@device_option
@bundle_option
def apply(
    mappers: tuple[str, ...],
    prompts: tuple[str, ...],
    strengths: tuple[float, ...],
    any_prompt: bool,
    faces: Faces,
    out: Path,
    engine: str,
    exports: Path | None,
    device: str,
    bundle_name: str,
) -> None:
    """Edit faces with one or several MAPPERs (names of `mapper list`, or files) at once.

    Several faces of a photograph come in one picture of it. With --face N for each of several
    mappers, the first is for the first: --face 1 smiling --face 2 red-lipstick.
    """
    # Nothing here imports torch, so that an engine can do without.
    from styleclip_rt.cli.saving import save_edits
    from styleclip_rt.files import check_writable
    from styleclip_rt.runtime.mapper import MapperRuntime, Move
    from styleclip_rt.runtime.results import check_spared

    for what, given in (("--prompt", prompts), ("--strength", strengths)):
        if given and len(given) != len(mappers):
            raise StyleClipError(f"give {what} once for each of the {len(mappers)} mappers.")
    check_writable(out)
    check_spared(faces.image, out)
    shares = faces.shares(len(mappers), "mapper")
    runtime = MapperRuntime.from_bundle(mappers, bundle_name, device, engine, exports)
    moves = [
        Move(name, prompts[i] if prompts else "", strengths[i] if strengths else 1.0)
        for i, name in enumerate(mappers)
    ]
    named = [move.prompt or move.mapper for move in moves]
    save_edits(runtime, faces, moves, out, named, bundle_name, any_prompt, shares)


@mapper.command()
@click.argument("mappers", nargs=-1, required=True, metavar="MAPPER...")
@_latents
@click.option("--faces", type=click.IntRange(1), default=50, show_default=True, help="Per prompt.")
@click.option("--strength", type=float, default=1.0, show_default=True)
@click.option("--optimiser", is_flag=True, help="Make the same edits with `styleclip edit` too.")
@click.option("--out", type=_folder, default=Path("out/mapper-study"), show_default=True)
@device_option
@bundle_option
def evaluate(
    mappers: tuple[str, ...],
    latents: Path,
    faces: int,
    strength: float,
    optimiser: bool,
    out: Path,
    device: str,
    bundle_name: str,
) -> None:
    """Judge the edits of validation faces with independent probes (extra: probes)."""
    from styleclip_rt.bundle import load_bundle
    from styleclip_rt.runtime.editor import Editor
    from styleclip_rt.runtime.mapper import MapperRuntime
    from styleclip_rt.runtime.studies.mappers import MapperStudy, summary

    bundle = load_bundle(bundle_name)
    runtime = MapperRuntime(bundle, mappers, device)
    editor = Editor(bundle, device) if optimiser else None
    rows = MapperStudy(runtime, latents, faces, out, strength, editor).run()
    click.echo(summary(rows))
