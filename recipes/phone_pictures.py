"""`python -m recipes phone-pictures`: generated faces made to look like pictures that people take
with a phone.

Drawn faces are sharp, evenly lit and clean. Networks that are to work on photographs learn from,
and are judged on, faces to which all has happened that happens to a picture: something in front of
the face, a slightly wrong crop, light from one side, a colour cast, blur, noise, sharpening, JPEG.
"""

import io
import json
import math
from pathlib import Path

import click
import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor
from torch.nn import functional as F
from tqdm import tqdm

from recipes import options
from recipes.report import Report
from styleclip_rt.files import replacing
from styleclip_rt.photos import Alignment
from styleclip_rt.photos.resampling import Affine, invert, sample
from styleclip_rt.runtime.starts import from_seeds
from styleclip_rt.runtime.torch_networks import TorchNetworks

FIRST_SEED = 900_000
"""Of the faces: below those of `styleclip dataset generate`, above those of any recipe."""

TRUNCATION_PSI = 0.8
"""People are less alike than the faces that the editor shows."""

_BEHIND = 256
"""Pixels a side of the square of which a blurred background is made."""

_LUMA = torch.tensor([0.299, 0.587, 0.114])[:, None, None]


@click.command("phone-pictures")
@options.out("phone-pictures")
@click.option("--faces", type=click.IntRange(1), default=40, show_default=True)
@click.option("--seed", type=int, default=FIRST_SEED, show_default=True, help="Of the first face.")
def recipe(out: Path, faces: int, seed: int) -> None:
    """Pictures of generated faces to measure edits of photographs on (styleclip evaluate --images).

    truth.json says which face is where in each.
    """
    report = Report()
    out.mkdir(parents=True, exist_ok=True)
    networks = TorchNetworks("ffhq-mobile", "cpu")
    record = out / "truth.json"
    truth = json.loads(record.read_text(encoding="utf-8")) if record.exists() else {}
    for number in tqdm(range(seed, seed + faces), unit="picture"):
        path = out / f"face-{number}.jpg"
        if path.name in truth and path.exists():
            continue
        (start,) = from_seeds(networks, [number], TRUNCATION_PSI)
        random = torch.Generator().manual_seed(number)
        face = phone_picture(networks.draw(start.latent[None])[0], random)
        pixels, where = whole_picture(face, random)
        with replacing(path) as temporary:
            quality = round(_Chance(random).between(60, 95))
            Image.fromarray(pixels).save(temporary, "JPEG", quality=quality)
        truth[path.name] = {
            "seed": number,
            "truncation_psi": TRUNCATION_PSI,
            "corners": where.quad.round(1).tolist(),
        }
        with replacing(record) as temporary:
            temporary.write_text(json.dumps(truth, indent=2) + "\n", encoding="utf-8")
    report.made(record, source=f"{faces} faces of ffhq-mobile, seed {seed} and on")


def whole_picture(face: Tensor, random: torch.Generator) -> tuple[NDArray[np.uint8], Alignment]:
    """A picture of 400 to 3000 px in which a face is somewhere, tilted, before something blurred.

    Args:
        face: float [3, S, S] in [0, 1], RGB, aligned as FFHQ is.
        random: on the CPU; the same state gives the same picture.

    Returns:
        [H, W, 3] uint8, and the square that `face` takes up in it.
    """
    chance = _Chance(random)
    side = face.shape[-1]
    longer = 400 * 7.5 ** chance.between(0, 1)
    width, height = round(longer), round(longer * (3 / 4 if chance(0.7) else 1))
    if chance(0.6):
        width, height = height, width
    half = min(width, height) * chance.between(0.5, 0.95) / 2
    angle = chance.around(0.6)
    centre = (width * (0.5 + chance.around(0.15)), height * (0.5 + chance.around(0.12)))
    where = Alignment(centre, (half * math.cos(angle), half * math.sin(angle)))
    to_square = invert(where.affine())
    to_face = to_square * side
    picture = _seen(face, to_face, (height, width))
    x, y = _coordinates(to_square, height, width)
    # How far outside the square, in parts of its side.
    outside = (torch.maximum((x - 0.5).abs(), (y - 0.5).abs()) - 0.5).clamp_min(0)
    # What a background has there is what the square has at its edge, out of focus.
    small = F.interpolate(face[None], (_BEHIND, _BEHIND), mode="area")[0]
    reach = [2 * _BEHIND] * 4
    to_small = to_square * _BEHIND + np.array([[0, 0, 2 * _BEHIND]] * 2)
    for blur, begins, within in ((0.01, 0.0, 0.06), (0.06, 0.06, 0.3)):
        behind = F.pad(_gaussian(small, blur)[None], reach, mode="replicate")[0]
        share = ((outside - begins) / within).clamp(0, 1)
        picture = picture.lerp(_seen(_gaussian(behind, blur / 5), to_small, (height, width)), share)
    picture = picture + chance.mild(0.03) * chance.normal(1, height, width)
    values = (picture.clamp(0, 1) * 255 + 0.5).byte().permute(1, 2, 0).numpy()
    return np.ascontiguousarray(values), where


def _coordinates(affine: Affine, height: int, width: int) -> tuple[Tensor, Tensor]:
    """Where `affine` takes the middles of pixels; x and y [height, width]."""
    across = torch.arange(width)[None] + 0.5
    down = torch.arange(height)[:, None] + 0.5
    x, y = (a * across + b * down + c for a, b, c in affine.tolist())
    return x, y


def _seen(image: Tensor, affine: Affine, size: tuple[int, int]) -> Tensor:
    return torch.from_numpy(sample(image.numpy(), affine, size))


def phone_picture(face: Tensor, random: torch.Generator) -> Tensor:
    """A face as a phone might have taken it.

    Each of what can happen happens to some faces only, most often mildly. Lengths are fractions of
    the side, so the size does not matter but for JPEG's blocks.

    Args:
        face: float [3, S, S] in [0, 1], RGB, aligned as FFHQ is; S of 64 or more.
        random: on the CPU; the same state gives the same picture.

    Returns:
        float32 [3, S, S] in [0, 1]: the same face in the same place, but for 1.5 % of the side.
    """
    chance = _Chance(random)
    image = face.detach().float().cpu().clamp(0, 1)
    if chance(0.12):
        image = _hat(image, chance)
    if chance(0.12):
        image = _hand(image, chance)
    image = _moved(image, chance)
    if chance(0.6):
        image = _lit(image, chance)
    image = _graded(image, chance)
    image = _blurred(image, chance)
    if chance(0.7):
        image = _noisy(image, chance)
    if chance(0.3):
        soft = _gaussian(image, 0.004)
        image = image + chance.between(0.2, 1.2) * (image - soft)
    image = image.clamp(0, 1)
    return _jpeg(image, round(chance.between(30, 95))) if chance(0.8) else image


class _Chance:
    """Draws from one stream."""

    def __init__(self, random: torch.Generator) -> None:
        self.random = random

    def __call__(self, probability: float) -> bool:
        return self.between(0, 1) < probability

    def between(self, low: float, high: float) -> float:
        return low + (high - low) * float(torch.rand((), generator=self.random))

    def mild(self, most: float) -> float:
        """From 0 to `most`, small numbers more often."""
        return most * self.between(0, 1) ** 2

    def around(self, spread: float) -> float:
        """From -spread to spread, numbers about 0 more often."""
        return self.mild(spread) * (1 if self.between(0, 1) < 0.5 else -1)

    def normal(self, *shape: int) -> Tensor:
        return torch.randn(*shape, generator=self.random)

    def colour(self, low: float, high: float) -> Tensor:
        """[3, 1, 1]"""
        return low + (high - low) * torch.rand(3, 1, 1, generator=self.random)


def _places(side: int) -> tuple[Tensor, Tensor]:
    """x and y [S, S] of the pixels' middles, in [0, 1]."""
    at = (torch.arange(side) + 0.5) / side
    return at[None].expand(side, side), at[:, None].expand(side, side)


def _smooth_field(side: int, cells: int, chance: _Chance) -> Tensor:
    """[S, S] of about unit variance, with so many hills across."""
    coarse = chance.normal(1, 1, cells, cells)
    field: Tensor = F.interpolate(coarse, (side, side), mode="bicubic", align_corners=False)
    return field[0, 0]


def _put_over(image: Tensor, inside: Tensor, colour: Tensor, chance: _Chance) -> Tensor:
    """Something of a colour where `inside` [S, S], a length, is above 0; unevenly lit, with the
    shade that it throws."""
    side = image.shape[-1]
    cloth = colour * (1 + 0.12 * _smooth_field(side, 5, chance))
    cloth = cloth + chance.mild(0.06) * chance.normal(side, side)
    mask = (inside / 0.006 + 0.5).clamp(0, 1)
    shade = (inside / 0.06 + 0.8).clamp(0, 1) * chance.between(0, 0.5)
    return torch.lerp(image * (1 - shade), cloth.clamp(0, 1), mask)


def _hat(image: Tensor, chance: _Chance) -> Tensor:
    """All above a curve across the forehead."""
    x, y = _places(image.shape[-1])
    brim, bend = chance.between(0.16, 0.32), chance.between(-0.3, 0.5)
    tilt = chance.around(0.2)
    edge = brim + bend * (x - 0.5).square() + tilt * (x - 0.5)
    wide = chance.between(0.34, 0.55) - (x - 0.5).abs()
    return _put_over(image, torch.minimum(edge - y, wide), chance.colour(0.02, 0.9), chance)


def _hand(image: Tensor, chance: _Chance) -> Tensor:
    """Some fingers, or a thick thing, reaching in from below or a side, in a colour of the skin."""
    side = image.shape[-1]
    x, y = _places(side)
    middle = side // 2
    skin = image[:, middle : middle + side // 8, middle - side // 6 : middle + side // 6]
    colour = skin.mean((1, 2))[:, None, None] * chance.colour(0.85, 1.15)
    # Where it ends in the face, and where it comes from.
    end_x, end_y = 0.5 + chance.around(0.22), chance.between(0.55, 0.8)
    angle = chance.between(-0.2, math.pi + 0.2)
    along_x, along_y = math.cos(angle), math.sin(angle)
    count = 1 + int(chance.between(0, 4))
    width = chance.between(0.02, 0.035) if count > 1 else chance.between(0.04, 0.09)
    inside = torch.full_like(x, -1.0)
    for finger in range(count):
        apart = (finger - (count - 1) / 2) * width * 2.1
        tip_x = end_x - along_y * apart + chance.around(0.02)
        tip_y = end_y + along_x * apart + chance.around(0.04)
        along = ((x - tip_x) * along_x + (y - tip_y) * along_y).clamp_min(0)
        away = torch.hypot(x - tip_x - along * along_x, y - tip_y - along * along_y)
        inside = torch.maximum(inside, width - away)
    return _put_over(image, inside, colour, chance)


def _moved(image: Tensor, chance: _Chance) -> Tensor:
    """Cut out a little beside the right place, as uncertain eyes and mouths are."""
    angle, zoom = chance.around(0.02), 1 + chance.around(0.02)
    cos, sin = zoom * math.cos(angle), zoom * math.sin(angle)
    shift_x, shift_y = chance.around(0.02), chance.around(0.02)
    matrix = torch.tensor([[[cos, -sin, shift_x], [sin, cos, shift_y]]])
    grid = F.affine_grid(matrix, [1, *image.shape], align_corners=False)
    moved: Tensor = F.grid_sample(
        image[None], grid, mode="bilinear", padding_mode="reflection", align_corners=False
    )
    return moved[0]


def _lit(image: Tensor, chance: _Chance) -> Tensor:
    """Light from one side, in its own colour, and shadows without a hard edge."""
    side = image.shape[-1]
    x, y = _places(side)
    angle = chance.between(0, 2 * math.pi)
    ramp = (x - 0.5) * math.cos(angle) + (y - 0.5) * math.sin(angle)
    stops = chance.mild(1.5) * ramp + chance.mild(0.5) * _smooth_field(side, 3, chance)
    tint = 1 + chance.mild(0.15) * (2 * chance.colour(0, 1) - 1)
    return image * torch.exp2(stops * tint)


def _graded(image: Tensor, chance: _Chance) -> Tensor:
    """Exposure, white balance, contrast and saturation; now and then black and white."""
    image = image * 2 ** chance.around(0.6) * (1 + chance.mild(0.2) * (2 * chance.colour(0, 1) - 1))
    image = image.clamp(1e-4, 1.5).pow(2 ** chance.around(0.5))
    grey = (image * _LUMA).sum(0, keepdim=True)
    saturation = 0.0 if chance(0.06) else 1 + chance.around(0.5)
    image = grey + saturation * (image - grey)
    middle = image.mean()
    return (middle + (1 + chance.around(0.3)) * (image - middle)).clamp(0, 1)


def _gaussian(image: Tensor, deviation: float) -> Tensor:
    """Blurred by a deviation in parts of the side."""
    pixels = max(deviation * image.shape[-1], 1e-3)
    reach = max(1, math.ceil(3 * pixels))
    taps = torch.exp(-0.5 * (torch.arange(-reach, reach + 1) / pixels).square())
    taps = taps / taps.sum()
    x = F.pad(image[:, None], (reach, reach, reach, reach), mode="reflect")
    blurred: Tensor = F.conv2d(F.conv2d(x, taps[None, None, None]), taps[None, None, :, None])
    return blurred[:, 0]


def _shaken(image: Tensor, length: float, angle: float) -> Tensor:
    """The mean over a straight move."""
    total = torch.zeros_like(image)
    steps = 9
    for step in range(steps):
        at = length * (step / (steps - 1) - 0.5) * 2
        move = [[1.0, 0.0, at * math.cos(angle)], [0.0, 1.0, at * math.sin(angle)]]
        grid = F.affine_grid(torch.tensor([move]), [1, *image.shape], align_corners=False)
        total += F.grid_sample(image[None], grid, padding_mode="reflection", align_corners=False)[0]
    return total / steps


def _blurred(image: Tensor, chance: _Chance) -> Tensor:
    """Out of focus, shaken, or of few pixels and enlarged."""
    if chance(0.4):
        image = _gaussian(image, chance.mild(0.01))
    if chance(0.15):
        image = _shaken(image, chance.mild(0.025), chance.between(0, math.pi))
    if chance(0.4):
        side = image.shape[-1]
        small = max(32, min(side, round(80 * 2 ** chance.between(0, 2.5))))
        size = (small, small)
        image = F.interpolate(image[None], size, mode="bilinear", antialias=True)[0]
        image = F.interpolate(image[None], (side, side), mode="bicubic", align_corners=False)[0]
    return image


def _noisy(image: Tensor, chance: _Chance) -> Tensor:
    """More in the dark; colours in blotches, as a phone's own cleaning leaves them."""
    side = image.shape[-1]
    grain = chance.normal(1, side, side) * chance.mild(0.04)
    cells = max(16, side // 4)
    blotches = F.interpolate(chance.normal(1, 3, cells, cells), (side, side), mode="bilinear")[0]
    dark = 1.5 - image.clamp(0, 1)
    return image + dark * (grain + chance.mild(0.035) * blotches)


def _jpeg(image: Tensor, quality: int) -> Tensor:
    pixels = (image * 255).round().byte().permute(1, 2, 0).numpy()
    stored = io.BytesIO()
    Image.fromarray(pixels).save(stored, "JPEG", quality=quality)
    read = np.asarray(Image.open(stored).convert("RGB"), np.float32) / 255
    return torch.from_numpy(read).permute(2, 0, 1).contiguous()
