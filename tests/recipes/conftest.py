"""A drawn face whose parts are known exactly."""

from dataclasses import dataclass

import numpy as np
import pytest
import torch
from torch import Tensor

from recipes.labels import regions as r

SIZE = 128
SKIN, HAIR, SHIRT, BACK, LIP = (
    (0.85, 0.65, 0.55),
    (0.15, 0.10, 0.08),
    (0.13, 0.10, 0.10),
    (0.3, 0.6, 0.4),
    (0.70, 0.40, 0.40),
)


@dataclass
class Face:
    image: Tensor  # [1,3,S,S]
    landmarks: Tensor  # [1,468,2]
    person: Tensor  # [1,S,S]
    hair: Tensor  # [S,S], what truly is hair
    throat: Tensor  # [S,S]


def _arc(cx: float, cy: float, rx: float, ry: float, start: float, stop: float, n: int) -> Tensor:
    angle = torch.deg2rad(torch.linspace(start, stop, n))
    return torch.stack([cx + rx * angle.sin(), cy - ry * angle.cos()], 1)


def _landmarks() -> Tensor:
    points = torch.full((468, 2), 0.5)

    def put(indices: tuple[int, ...], where: Tensor) -> None:
        points[list(indices)] = where

    put(r.OVAL, _arc(0.5, 0.55, 0.2, 0.27, 0, 350, len(r.OVAL)))
    for indices, rx, ry, sign in (
        (r.LIPS_UPPER_OUTER, 0.08, 0.03, 1),
        (r.LIPS_LOWER_OUTER, 0.08, 0.04, -1),
        (r.LIPS_UPPER_INNER, 0.06, 0.008, 1),
        (r.LIPS_LOWER_INNER, 0.06, 0.015, -1),
    ):
        put(indices, _arc(0.5, 0.7, rx, sign * ry, -90, 90, len(indices)))
    for side, cx in enumerate((0.42, 0.58)):
        out = 1 if side == 0 else -1
        for indices, ry, dy in (
            (r.EYE_UPPER[side], 0.015, 0.0),
            (r.EYE_LOWER[side], -0.012, 0.0),
            (r.LID_UPPER[side], 0.035, 0.0),
            (r.BROW_UPPER[side], 0.01, -0.06),
            (r.BROW_LOWER[side], -0.004, -0.06),
        ):
            put(indices, _arc(cx, 0.5 + dy, out * 0.04, ry, -90, 90, len(indices)))
        put(r.CHEEK[side], _arc(cx - out * 0.02, 0.6, 0.035, 0.035, 0, 320, len(r.CHEEK[side])))
    x = torch.linspace(0.57, 0.43, len(r.MOUSTACHE_TOP))
    put(r.MOUSTACHE_TOP, torch.stack([x, torch.full_like(x, 0.645)], 1))
    put((435, 427, 207, 215), torch.tensor([[0.67, 0.66], [0.6, 0.68], [0.4, 0.68], [0.33, 0.66]]))
    put((4,), torch.tensor([[0.5, 0.6]]))
    return points


@pytest.fixture(scope="session")
def face() -> Face:
    """Black bobbed hair, light skin, a shirt as dark as the hair, a green background."""
    axis = (torch.arange(SIZE) + 0.5) / SIZE
    y, x = torch.meshgrid(axis, axis, indexing="ij")
    head = ((x - 0.5) / 0.22) ** 2 + ((y - 0.52) / 0.32) ** 2 < 1
    wig = ((x - 0.5) / 0.30) ** 2 + ((y - 0.45) / 0.38) ** 2 < 1
    forehead = ((x - 0.5) / 0.2) ** 2 + ((y - 0.56) / 0.34) ** 2 < 1
    throat = ((x - 0.5).abs() < 0.09) & (y > 0.75) & (y < 0.92)
    shirt = (y > 0.9) & ((x - 0.5).abs() < 0.4)
    image = torch.empty(3, SIZE, SIZE)

    def put(where: Tensor, colour: tuple[float, float, float]) -> None:
        image[:, where] = torch.tensor(colour)[:, None]

    everywhere = torch.ones_like(head)
    put(everywhere, BACK)
    put(shirt, SHIRT)
    put(wig & (y < 0.7), HAIR)
    put(throat, SKIN)
    put(head & forehead, SKIN)
    points = _landmarks()
    lips = ((x - 0.5) / 0.08) ** 2 + ((y - 0.703) / 0.035) ** 2 < 1
    put(lips, LIP)
    person = (shirt | (wig & (y < 0.7)) | throat | head).float()
    hair = wig & (y < 0.7) & ~(head & forehead)
    noise = torch.from_numpy(np.random.default_rng(0).normal(0, 0.015, image.shape)).float()
    return Face(
        (image + noise).clamp(0, 1)[None], points[None], person[None], hair.float(), throat.float()
    )
