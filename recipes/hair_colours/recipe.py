"""`python -m recipes hair-colour`: eight hair colours, solved for one after another.

This does not reproduce the file that ships. Its colours came one by one, by this code as it grew
and by scripts with it (`recipes/DIARY.md` tells of each). They joined a mapper that had been
trained, whose network still adds a little to each of them, where here the first joins one that
moves nothing; black is the mean of two fits, of which one began with a trained direction; blond,
red and grey saw the hair's colour as a network reads it off the face; brown was the mean of two
fits before it was corrected.

`fit-hair-colour` and `correct-hair-colour` are the two steps, for any mapper with prompts.
"""

import json
from dataclasses import asdict
from pathlib import Path
from typing import NamedTuple

import click
import torch

from recipes import options
from recipes.hair_colours.correction import MapperCorrection
from recipes.hair_colours.edits import HairEdits, HairFaces
from recipes.hair_colours.fit import MapperFit
from recipes.inputs import label_models, latents_of
from recipes.labels.region_masks import RegionMasks
from recipes.report import Report
from styleclip_rt.bundle import Bundle, load_bundle
from styleclip_rt.bundle.mappers import find, load_for
from styleclip_rt.checkpoints import mapper_file
from styleclip_rt.cli.mapper import prompt_list
from styleclip_rt.devices import choose_device, choose_precision, keep_freed_memory
from styleclip_rt.editing.schedule import NEUTRAL_PROMPT
from styleclip_rt.editing.spaces import rows_of
from styleclip_rt.errors import StyleClipError
from styleclip_rt.files import replacing
from styleclip_rt.models.generator import fingerprint
from styleclip_rt.models.mapper import PromptMapper, PromptMapperConfig
from styleclip_rt.models.tokenizer import tokenize
from styleclip_rt.pictures import save_png
from styleclip_rt.training.latent_dataset import LatentDataset


class Colour(NamedTuple):
    """How a hair colour is fitted.

    Attributes:
        faces, rounds: of the fit; in every round so many more faces join it.
        face_dim: principal components of w that its move depends on.
        strength: that is to be strength 1.
    """

    prompt: str
    faces: int
    rounds: int
    face_dim: int
    strength: float


COLOURS = (
    Colour("black hair", 60, 3, 64, 1.1),
    Colour("brown hair", 900, 2, 256, 1.05),
    Colour("blond hair", 350, 2, 256, 1.0),
    Colour("red hair", 350, 2, 256, 1.0),
    Colour("grey hair", 350, 2, 256, 1.0),
    Colour("green hair", 200, 2, 256, 0.7),
    Colour("blue hair", 160, 2, 256, 0.7),
    Colour("purple hair", 160, 2, 256, 0.8),
)
CORRECTED = "brown hair"
LAYERS = "middle,fine"

_mapper = click.argument("name", metavar="MAPPER")
_prompts = click.option(
    "--prompts", required=True, help='Hair colours, e.g. "black hair,brown hair".'
)
_bundle = click.option("--bundle", "bundle_name", default="ffhq-mobile", show_default=True)
_file = click.option("--out", type=click.Path(path_type=Path, dir_okay=False), required=True)
_correction_faces = click.option(
    "--faces", type=click.IntRange(1), default=120, show_default=True, help="For the moves."
)
_drawn = click.option(
    "--drawn", type=click.IntRange(1), default=14_900, show_default=True, help="For the readings."
)


@click.command("hair-colour")
@options.latents
@options.out("hair-colour")
@click.option("--most", type=click.IntRange(1), help="Faces a round at most, to try the recipe.")
@_correction_faces
@_drawn
@options.precision
def recipe(
    latents: Path, out: Path, most: int | None, faces: int, drawn: int, precision: str
) -> None:
    """Fit eight hair colours and correct brown (fetches label models by npm once).

    --faces and --drawn are of the correction. Each colour leaves a file in --out, from which
    another call goes on.
    """
    report = Report()
    bundle = load_bundle()
    data = _hair_faces(bundle, latents, precision)
    go_on(out, most=most, faces=faces, drawn=drawn, precision=data.precision, of=data.latents)
    mapper = still(bundle, data)
    for colour in COLOURS:
        path = out / f"up-to-{colour.prompt.replace(' ', '-')}.safetensors"
        if path.exists():
            mapper = _prompt_mapper(load_for(bundle, path, path.name), path.name)
            continue
        count = min(colour.faces, most or colour.faces)
        fitting = MapperFit(data, mapper, [colour.prompt], colour.face_dim)
        mapper = with_strength(fitting.run(count, colour.rounds), colour.prompt, colour.strength)
        if colour.prompt == CORRECTED:
            mapper = MapperCorrection(data, mapper, [colour.prompt]).run(faces, drawn)
        mapper_file.save(mapper, path, _origin(bundle))
    made = out / "hair-colour.safetensors"
    _save(mapper, HairEdits(data, mapper, mapper.config.prompts), made, bundle)
    fitted = sum(min(colour.faces, most or colour.faces) * colour.rounds for colour in COLOURS)
    report.made(
        made,
        source=f"gradients of {fitted} faces of {latents}, and {faces + drawn} more to correct "
        f"{CORRECTED}",
    )


@click.command("fit-hair-colour")
@_mapper
@_prompts
@options.latents
@click.option("--faces", type=click.IntRange(1), default=60, show_default=True, help="A round.")
@click.option("--rounds", type=click.IntRange(1), default=3, show_default=True)
@click.option(
    "--face-dim",
    type=int,
    default=0,
    help="Principal components of w to depend on, if more than MAPPER does.",
)
@_file
@options.precision
@_bundle
def fit(
    name: str,
    prompts: str,
    latents: Path,
    faces: int,
    rounds: int,
    face_dim: int,
    out: Path,
    precision: str,
    bundle_name: str,
) -> None:
    """Add hair colours to a MAPPER by least squares, for colours that ask every face for another
    move (fetches label models by npm once)."""
    report = Report()
    bundle = load_bundle(bundle_name)
    network = _prompt_mapper(load_for(bundle, find(name), name), name)
    data = _hair_faces(bundle, latents, precision)
    fitting = MapperFit(data, network, _once(prompts), face_dim)
    _save(fitting.run(faces, rounds), fitting.edits, out, bundle)
    report.made(out, source=f"{name} and gradients of {faces * rounds} faces a colour of {latents}")


@click.command("correct-hair-colour")
@_mapper
@_prompts
@options.latents
@_correction_faces
@_drawn
@_file
@options.precision
@_bundle
def correct(
    name: str,
    prompts: str,
    latents: Path,
    faces: int,
    drawn: int,
    out: Path,
    precision: str,
    bundle_name: str,
) -> None:
    """Correct hair colours of a MAPPER by what its edits of thousands of faces lack (fetches label
    models by npm once)."""
    report = Report()
    bundle = load_bundle(bundle_name)
    network = _prompt_mapper(load_for(bundle, find(name), name), name)
    data = _hair_faces(bundle, latents, precision)
    correction = MapperCorrection(data, network, _once(prompts))
    _save(correction.run(faces, drawn), correction.edits, out, bundle)
    report.made(
        out, source=f"{name}, gradients of {faces} faces and drawings of {drawn} of {latents}"
    )


def still(bundle: Bundle, data: HairFaces) -> PromptMapper:
    """A mapper that moves nothing, for colours to be added to, and sees the first components of w.

    Its one prompt is dropped when the first colour is in.
    """
    generator = bundle.generator
    config = PromptMapperConfig(
        n_latent=generator.n_latent,
        rows=tuple(rows_of(generator, LAYERS)),
        prompts=(NEUTRAL_PROMPT,),
        text_dim=bundle.clip.config.embed_dim,
        latent_dim=generator.latent_dim,
        face_dim=min(PromptMapperConfig.face_dim, generator.latent_dim),
        hidden=1,
        rank=1,
    )
    mapper = PromptMapper(config)
    with torch.no_grad():
        for parameter in mapper.parameters():
            parameter.zero_()
        mapper.texts.copy_(bundle.clip.encode_text(tokenize([NEUTRAL_PROMPT])))
        mapper.face_mean.copy_(data.statistics.mean)
        mapper.face_axes.copy_(data.statistics.coordinates[: config.face_dim])
    return mapper


def go_on(out: Path, of: LatentDataset, **settings: object) -> None:
    """Begin in a folder, or go on there if what was begun had the same settings."""
    text = json.dumps({**settings, "latents": asdict(of.index)}, indent=2) + "\n"
    out.mkdir(parents=True, exist_ok=True)
    config = out / "config.json"
    if config.exists() and config.read_text(encoding="utf-8") != text:
        raise StyleClipError(
            f"{out} holds a run with other settings: repeat its config.json, or choose another "
            "folder with --out."
        )
    with replacing(config) as temporary:
        temporary.write_text(text, encoding="utf-8")


def with_strength(mapper: PromptMapper, prompt: str, strength: float) -> PromptMapper:
    """The mapper's colours, one of them at a strength that is to be its strength 1."""
    prompts = [each for each in mapper.config.prompts if each != NEUTRAL_PROMPT]
    return mapper.keeping(prompts, [strength if each == prompt else 1.0 for each in prompts])


def _hair_faces(bundle: Bundle, latents: Path, precision: str) -> HairFaces:
    """The faces to learn hair colours from."""
    device = choose_device("auto")
    if device.type == "cpu":
        keep_freed_memory()
    data = LatentDataset(latents_of(bundle, latents), "train")
    if data.index.generator != fingerprint(bundle.generator):
        raise StyleClipError(
            f"{latents} holds faces of the bundle {data.index.bundle!r}, not of {bundle.name!r}: "
            "choose another data set with --latents."
        )
    masks = RegionMasks(bundle.generator.to(device), data, label_models())
    return HairFaces(bundle, data, masks, choose_precision(precision, device))


def _prompt_mapper(mapper: mapper_file.Mapper, name: str) -> PromptMapper:
    if not isinstance(mapper, PromptMapper):
        raise StyleClipError(f"the mapper {name!r} knows no prompts, so none can be fitted to it.")
    return mapper


def _save(mapper: PromptMapper, edits: HairEdits, out: Path, bundle: Bundle) -> None:
    mapper_file.save(mapper, out, _origin(bundle))
    picture = out.with_suffix(".png")
    save_png(edits.sheet(mapper), picture, {})
    click.echo(f"{', '.join(mapper.config.prompts)}: see {picture}")


def _origin(bundle: Bundle) -> mapper_file.Origin:
    return mapper_file.Origin(bundle.name, fingerprint(bundle.generator))


def _once(text: str) -> tuple[str, ...]:
    return tuple(dict.fromkeys(prompt_list(text)))
