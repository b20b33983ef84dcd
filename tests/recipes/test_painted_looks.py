from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from recipes.labels.painted_looks import Painted, PaintedLooks
from recipes.labels.regions import to_oklab
from styleclip_rt.errors import StyleClipError
from styleclip_rt.training.latent_dataset import generate
from styleclip_rt.training.mapper import MapperTrainer
from tests.tiny import tiny_bundle
from tests.training.mapper_run import SETTINGS


class Drawn:
    """Stands in for a generator: it draws the drawn face, whatever the latent."""

    resolution = 1024

    def __init__(self, image: Tensor) -> None:
        self.image = image

    def synthesis(self, latent: Tensor, resolution: int) -> Tensor:
        image = F.interpolate(self.image, (resolution, resolution), mode="bilinear")
        return image.expand(len(latent), -1, -1, -1) * 2 - 1


class Told:
    """Stands in for the teachers: they are told where the face is."""

    def __init__(self, face: Any) -> None:
        self.face = face

    def landmarks(self, images: Tensor) -> Tensor:
        return self.face.landmarks.expand(len(images), -1, -1)

    def person(self, images: Tensor) -> Tensor:
        return self.face.person.expand(len(images), -1, -1)


def painter(face: Any, *prompts: str) -> PaintedLooks:
    return PaintedLooks(Told(face), prompts)  # type: ignore[arg-type]


def paint(face: Any, faces: int, *prompts: str) -> Painted:
    generator: Any = Drawn(face.image)
    return painter(face, *prompts)(generator, torch.zeros(faces, 3, 4), 128)


def test_prompts_are_painted_where_they_are_about(face: Any) -> None:
    painted = paint(face, 2, "green hair", "red lipstick")
    assert painted.pictures.shape == (4, 3, 128, 128)
    assert painted.where.shape == (4, 1, 128, 128)
    torch.testing.assert_close(painted.pictures[:2], painted.pictures[2:])
    green, red = to_oklab(painted.pictures[:2])
    hair, lips = painted.where[0, 0] > 0.9, painted.where[1, 0] > 0.9
    assert (face.hair[hair] == 1).float().mean() > 0.95
    assert green[1][hair].mean() < -0.04
    assert red[1][lips].mean() > 0.1
    change = (painted.pictures[0] - face.image[0]).abs().amax(0)
    assert change[:, 60:68][90:].mean() < 0.03


def test_distance_weighs_what_was_painted_as_much_as_the_rest(face: Any) -> None:
    painted = paint(face, 1, "green hair")
    assert painted.distance(painted.pictures).item() == 0
    inside = (painted.where > 0.5).float()
    lighter = painted.pictures + 0.1
    in_hair = painted.distance(torch.lerp(painted.pictures, lighter, inside)).item()
    elsewhere = painted.distance(torch.lerp(lighter, painted.pictures, inside)).item()
    assert inside.mean() < 0.3
    assert 0.5 < in_hair / elsewhere < 2
    black = torch.zeros_like(face.image, requires_grad=True)
    painted.distance(black).sum().backward()
    assert torch.isfinite(black.grad).all()


def test_what_cannot_be_painted_is_refused(face: Any) -> None:
    with pytest.raises(StyleClipError, match=r"'old' cannot be painted.*green hair"):
        painter(face, "green hair", "old")


def test_a_mapper_learns_from_paint(face: Any, tmp_path: Path) -> None:
    generate(tiny_bundle(), tmp_path / "latents", train=4, val=2)
    settings = replace(SETTINGS, prompts=("red lipstick",), paint=20.0, steps=12)
    folder, paints = tmp_path / "latents", painter(face, "red lipstick")
    with pytest.raises(StyleClipError, match="no painter"):
        MapperTrainer(tiny_bundle(), folder, tmp_path, settings)
    trainer = MapperTrainer(tiny_bundle(), folder, tmp_path, settings, painter=paints)
    trainer.run()
    painted = [row["painted"] for row in trainer.history]
    assert sum(painted[-3:]) < 0.95 * sum(painted[:3])
