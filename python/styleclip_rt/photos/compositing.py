"""What an edit changed, carried over to the photograph: the photograph's own pixels stay.

A drawing of a face is never the face. So not the edited drawing goes into the picture, but the
difference between it and the drawing of the photograph as it is: where the edit moves things the
photograph's pixels are moved, and then colours are changed by as much as between the two drawings.
"""

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from styleclip_rt.photos.alignment import Alignment
from styleclip_rt.photos.mesh import Points
from styleclip_rt.photos.picture import Pixels
from styleclip_rt.photos.resampling import invert

FEATHER = 0.04
"""Of the square's side: how far from its edge a change fades in."""

FAINTEST = 1 / 255
"""Of a mask; what is below it changes no pixel."""

_REACH = (0.12, 0.06, 0.03, 0.015)
"""Of the square's side: how far a point of the mesh takes its surroundings along. Each of these
adds what the wider ones before have missed."""

_REST = 0.3
"""How much of a point's weight lies in staying where one is."""

# Ottosson 2020, "A perceptual color space for image processing": linear sRGB -> cone response.
_CONES = torch.tensor(
    [
        [0.4122214708, 0.5363325363, 0.0514459929],
        [0.2119034982, 0.6806995451, 0.1073969566],
        [0.0883024619, 0.2817188376, 0.6299787005],
    ]
)
_OKLAB = torch.tensor(
    [
        [0.2104542553, 0.7936177850, -0.0040720468],
        [1.9779984951, -2.4285922050, 0.4505937099],
        [0.0259040371, 0.7827717662, -0.8086757660],
    ]
)


def to_oklab(image: Tensor) -> Tensor:
    """sRGB [3, H, W] in [0, 1] -> Oklab [3, H, W]: lightness in [0, 1], then green to red and blue
    to yellow."""
    linear = torch.where(image <= 0.04045, image / 12.92, ((image + 0.055) / 1.055) ** 2.4)
    cones = torch.einsum("ij,jhw->ihw", _CONES, linear).clamp_min(0) ** (1 / 3)
    return torch.einsum("ij,jhw->ihw", _OKLAB, cones)


def from_oklab(colours: Tensor) -> Tensor:
    """The inverse of `to_oklab`; colours that sRGB cannot show are cut to [0, 1]."""
    cones = torch.einsum("ij,jhw->ihw", torch.linalg.inv(_OKLAB), colours) ** 3
    linear = torch.einsum("ij,jhw->ihw", torch.linalg.inv(_CONES), cones).clamp(0, 1)
    curved = 1.055 * linear.clamp_min(0.0031308) ** (1 / 2.4) - 0.055
    return torch.where(linear <= 0.0031308, 12.92 * linear, curved).clamp(0, 1)


def motion(before: Points, after: Points, size: int) -> Tensor:
    """How an edit moves a face, smoothly, from where the mesh's points are before and after it.

    Args:
        before, after: [P, 2 or more] of the same points, as parts of the square.
        size: of the result.

    Returns:
        [2, size, size]: what is drawn at a place after the edit was that far (x, y), in parts of
        the square, to the left and above before it. It fades out away from the points.
    """
    found = torch.from_numpy(np.array(before[:, :2], np.float32))
    goal = torch.from_numpy(np.array(after[:, :2], np.float32))
    small = 96
    middle = (torch.arange(small) + 0.5) / small
    grid = torch.stack(torch.meshgrid(middle, middle, indexing="xy"), dim=-1).view(-1, 2)
    missing, field = goal - found, torch.zeros(small * small, 2)
    for reach in _REACH:
        # Nadaraya and Watson's weighted mean, of what is left, at the grid and at the points.
        at_grid, at_points = (
            torch.exp(-torch.cdist(places, goal).square() / (2 * reach * reach))
            for places in (grid, goal)
        )
        field = field + at_grid @ missing / (at_grid.sum(1, keepdim=True) + _REST)
        missing = missing - at_points @ missing / (at_points.sum(1, keepdim=True) + _REST)
    field = field.T.view(1, 2, small, small)
    return F.interpolate(field, (size, size), mode="bicubic", align_corners=False)[0]


def moved(image: Tensor, flow: Tensor) -> Tensor:
    """[C, H, W] as it is after a `motion` [2, H, W] in parts of its width and height."""
    height, width = image.shape[1:]
    y, x = ((torch.arange(n) + 0.5) / n for n in (height, width))
    grid = torch.stack(torch.meshgrid(x, y, indexing="xy"), dim=-1) - flow.permute(1, 2, 0)
    return F.grid_sample(
        image[None], 2 * grid[None] - 1, "bicubic", "reflection", align_corners=False
    )[0]


def composite(
    pixels: Pixels,
    alignment: Alignment,
    before: Tensor,
    after: Tensor,
    mask: Tensor,
    flow: Tensor | None = None,
    new: Tensor | None = None,
) -> Pixels:
    """A photograph with what an edit changed; where the mask is 0 not a bit of it differs.

    Args:
        pixels: the photograph [H, W, 3].
        alignment: of the face in it.
        before, after: drawings [3, S, S] in [0, 1] of the face as it is and as edited.
        mask: [S, S] in [0, 1], how much of the change a place gets.
        flow: `motion` [2, S, S] of the edit, if it moves anything.
        new: [S, S] in [0, 1], where the photograph has nothing that could be moved, such as teeth
            behind lips that were closed: the drawing's own colours come in.
    """
    size = (pixels.shape[0], pixels.shape[1])
    rows, columns = alignment.window(size)
    photograph = torch.from_numpy(pixels[rows, columns].copy()).permute(2, 0, 1).float() / 255
    weight = alignment.inverse(mask[None], size)[0].clamp(0, 1)
    weight = weight * alignment.coverage(size, FEATHER)
    weight = torch.where(weight < FAINTEST, 0, weight)
    own = photograph
    if flow is not None:
        flow = flow * mask
        before = moved(before, flow).clamp(0, 1)
        own = _moved_in_picture(photograph, alignment.inverse(flow, size), alignment).clamp(0, 1)
    change = alignment.inverse(to_oklab(after) - to_oklab(before), size)
    edited = to_oklab(own) + change
    if new is not None:
        share = alignment.inverse(new[None], size).clamp(0, 1)
        edited = edited.lerp(alignment.inverse(to_oklab(after), size), share)
    mixed = to_oklab(photograph).lerp(edited, weight) if flow is None else edited
    shown = from_oklab(mixed)
    if flow is not None:
        shown = photograph.lerp(shown, weight)
    values = (shown * 255 + 0.5).to(torch.uint8).permute(1, 2, 0).numpy()
    result = pixels.copy()
    result[rows, columns] = np.where((weight > 0).numpy()[..., None], values, pixels[rows, columns])
    return result


def _moved_in_picture(photograph: Tensor, flow: Tensor, alignment: Alignment) -> Tensor:
    """The picture's window, moved by a flow in parts of the square."""
    turn = torch.from_numpy(np.linalg.inv(invert(alignment.affine())[:, :2])).float()
    height, width = photograph.shape[1:]
    in_pixels = torch.einsum("ij,jhw->ihw", turn, flow)
    return moved(photograph, in_pixels / torch.tensor([width, height])[:, None, None])
