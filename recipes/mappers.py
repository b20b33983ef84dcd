"""`python -m recipes red-lipstick | old | smiling`: the mappers that were trained, not fitted.

`old` reproduces the edits of its file: it is measured, not trained. The other two make mappers like
those that ship, not their bytes: rounding differs among processors, and `smiling` was trained
on an H100 with a generator whose weights had been rounded to 24 bits on the way there.

`train-painted` is `styleclip mapper train` with looks painted on, for other hair colours and lips.
"""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import click

from recipes import options
from recipes.inputs import label_models, latents_of
from recipes.labels.painted_looks import PaintedLooks
from recipes.report import Report
from styleclip_rt.bundle import load_bundle
from styleclip_rt.checkpoints import mapper_file
from styleclip_rt.cli.mapper import accelerator, mapper_trainer, prompt_list, run_trainer, train
from styleclip_rt.devices import choose_device, choose_precision
from styleclip_rt.models.mapper import PromptMapper
from styleclip_rt.training.mapper import BEST, MapperSettings, MapperTrainer


def trained_mapper(
    name: str, settings: MapperSettings, strength: float, description: str
) -> click.Command:
    """The recipe of a mapper with one prompt.

    Args:
        name: of the recipe and of its file.
        settings: of its training.
        strength: that is to be strength 1.
        description: for --help.
    """

    def make(latents: Path, out: Path, steps: int, precision: str) -> None:
        report = Report()
        bundle = load_bundle()
        painter = PaintedLooks(label_models(), settings.prompts) if settings.paint > 0 else None
        trainer = MapperTrainer(
            bundle,
            latents_of(bundle, latents),
            out,
            replace(settings, steps=steps),
            choose_precision(precision, choose_device("auto")),
            accelerator(),
            painter,
        )
        run_trainer(trainer)
        if trainer.rank > 0:
            return
        mapper, origin = mapper_file.load(out / BEST)
        assert isinstance(mapper, PromptMapper)
        path = out / f"{name}.safetensors"
        mapper_file.save(mapper.keeping(settings.prompts, (strength,)), path, origin)
        learnt = steps * settings.faces
        report.made(
            path,
            source=f"the latents in {latents}, {learnt} faces drawn to learn from, seed "
            f"{settings.seed}; its strength 1 is {strength:g} of what was learnt",
        )

    return _with_options(
        make,
        name,
        description,
        options.latents,
        options.out(name),
        click.option("--steps", type=click.IntRange(0), default=settings.steps, show_default=True),
        options.precision,
    )


def _with_options(
    callback: Callable[..., None], name: str, description: str, *given: options.Decorator
) -> click.Command:
    for option in reversed(given):
        callback = option(callback)
    return click.command(name, help=description)(callback)


red_lipstick = trained_mapper(
    "red-lipstick",
    MapperSettings(
        prompts=("red lipstick",),
        layers="middle,fine",
        steps=45,
        faces=3,
        learning_rate=0.07,
        l2=0.0001,
        paint=12,
        loss={"id": 0.3, "preserve": 8, "draft": 512},
    ),
    strength=1.25,
    description="Train red lipstick on 135 painted faces (fetches label models by npm once).",
)

old = trained_mapper(
    "old",
    MapperSettings(
        prompts=("old",),
        layers="middle,fine",
        steps=0,
        lead=1,
        hold=("glasses", "a man", "smiling"),
    ),
    strength=1.15,
    description="Take the measured direction of age, less glasses, men and smiles, in the layers "
    "that do not shape the head.",
)

smiling = trained_mapper(
    "smiling",
    MapperSettings(
        prompts=("smiling",),
        layers="coarse,middle,fine",
        steps=625,
        faces=32,
        learning_rate=0.03,
        lead=1,
        val_every=100_000,
        val_faces=6,
        loss={"preserve": 8, "draft": 0},
    ),
    strength=0.85,
    description="Train a smile on 20,000 faces at full size, from its measured direction (a GPU's "
    "work).",
)


def _train_painted(**given: Any) -> None:
    painter = PaintedLooks(label_models(), prompt_list(given["prompts"]))
    run_trainer(mapper_trainer(painter=painter, **given))


train_painted = click.Command(
    "train-painted",
    params=[
        *(param for param in train.params if param.name != "paint"),
        click.Option(
            ["--paint"],
            type=click.FloatRange(0, min_open=True),
            default=12.0,
            show_default=True,
            help="Weight of the look painted on.",
        ),
    ],
    callback=_train_painted,
    help="Train a mapper of hair colours or lips that are painted onto its faces: `styleclip "
    "mapper train` with --paint (fetches label models by npm once).",
)
