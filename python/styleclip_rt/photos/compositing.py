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
from styleclip_rt.photos.oklab import from_oklab, to_oklab
from styleclip_rt.photos.picture import Pixels
from styleclip_rt.photos.regions import REGIONS
from styleclip_rt.photos.resampling import invert

FEATHER = 0.04
"""Of the square's side: how far from its edge a change fades in."""

FAINTEST = 1 / 255
"""Of a mask; what is below it changes no pixel."""

_ASIDE, _ALL = 0.6, 0.85
"""Of the score of the region that a prompt is most about: at the first a region begins to be
changed as a whole, from the second on it is."""

_SMALLEST = 1e-4
"""Of the square's area: a smaller region is none."""

_REACH = (0.12, 0.06, 0.03, 0.015)
"""Of the square's side: how far a point of the mesh takes its surroundings along. Each of these
adds what the wider ones before have missed."""

_STILL = 0.004
"""Of the square's side: points of two drawings of one face differ by that much unmoved."""

_REST = 0.3
"""How much of a point's weight lies in staying where one is."""


def motion(before: Points, after: Points, size: int) -> Tensor:
    """How an edit moves a face, smoothly, from where the mesh's points are before and after it.

    Args:
        before, after: [P, 2 or more] of the same points, in pixels of two drawings.
        size: of the drawings, and of the result.

    Returns:
        [2, size, size]: what is drawn at a place after the edit was that far (x, y), in parts of
        the square, to the left and above before it. It fades out away from the points.
    """
    found = torch.from_numpy(before[:, :2] / np.float32(size))
    goal = torch.from_numpy(after[:, :2] / np.float32(size))
    small = 96
    middle = (torch.arange(small) + 0.5) / small
    grid = torch.stack(torch.meshgrid(middle, middle, indexing="xy"), dim=-1).view(-1, 2)
    missing, field = goal - found, torch.zeros(small * small, 2)
    length = missing.norm(dim=1, keepdim=True)
    missing = missing * (1 - _STILL / length.clamp_min(_STILL))
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
    shown = photograph.lerp(from_oklab(edited), weight)
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


def about(relevance: Tensor, regions: Tensor) -> Tensor:
    """Where a prompt may change this photograph.

    A map of where a look lies in faces as such says which regions it is about; where those are, the
    photograph says itself. A look of the hair is all of the hair and nothing else; any other is
    where the map says, and all of a region that the map covers. Background and clothes stay.

    Args:
        relevance: [h, w] in [0, 1], where a prompt changes faces (`RegionPrior.relevance`).
        regions: [len(REGIONS), S, S], those of the photograph.

    Returns:
        [S, S] in [0, 1].
    """
    size = regions.shape[-2:]
    where = F.interpolate(relevance[None, None], size, mode="bilinear", align_corners=False)[0, 0]
    area = regions.sum(dim=(1, 2))
    score = (regions * where).sum(dim=(1, 2)) / area.clamp_min(1)
    score[area < _SMALLEST * regions[0].numel()] = 0
    score[[REGIONS.index("background"), REGIONS.index("clothes")]] = 0
    covered = ((score / score.max().clamp_min(1e-6) - _ASIDE) / (_ALL - _ASIDE)).clamp(0, 1)
    hair, skin = score[REGIONS.index("hair")], score[REGIONS.index("skin")]
    if hair == score.max() and skin < hair / 2:
        return (regions[REGIONS.index("hair")] * covered[REGIONS.index("hair")]).clamp(0, 1)
    share = torch.maximum(covered[:, None, None], where * (score > 0)[:, None, None])
    return (regions * share).sum(dim=0).clamp(0, 1)
