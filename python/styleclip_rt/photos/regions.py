"""Where hair, skin, lips, eyes, brows, clothes and background are in an aligned face.

Lips, eyes and brows are the mesh's. A network tells people from background; what of a person is
hair, skin or clothes is decided by place and colour: where something lies to the face gives a
prior, and a Gaussian of colours a class is fitted by a few steps of expectation and maximisation.
"""

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from PIL import Image, ImageDraw
from torch import Tensor

from styleclip_rt.photos.alignment import Alignment
from styleclip_rt.photos.faces import Face
from styleclip_rt.photos.mesh import LEFT_SIDE, RIGHT_SIDE
from styleclip_rt.photos.networks import PersonSegmenter, person_segmenter
from styleclip_rt.photos.oklab import to_oklab
from styleclip_rt.photos.picture import Picture, Pixels

REGIONS = ("background", "hair", "skin", "brows", "eyes", "lips", "mouth", "clothes")
"""In this order in every stack of masks; they add up to 1. `skin` has ears and neck, `mouth` is
what open lips show, `clothes` all else of a person, hats and hands too."""

_SIZE = 256  # pixels at which regions are found, before their edges are drawn
_CLASSES = 64  # and at which colours are fitted

# Indices into MediaPipe's mesh; left and right as seen in the picture.
_OVAL = (
    *(10, 338, 297, 332, 284, 251, 389, 356, 454, 323, 361, 288, 397, 365, 379, 378, 400, 377),
    *(152, 148, 176, 149, 150, 136, 172, 58, 132, 93, 234, 127, 162, 21, 54, 103, 67, 109),
)
_LIPS = (
    *(61, 185, 40, 39, 37, 0, 267, 269, 270, 409, 291),
    *(375, 321, 405, 314, 17, 84, 181, 91, 146),
)
_MOUTH = (
    *(78, 191, 80, 81, 82, 13, 312, 311, 310, 415, 308),
    *(324, 318, 402, 317, 14, 87, 178, 88, 95),
)
_EYES = (
    (33, 246, 161, 160, 159, 158, 157, 173, 133, 155, 154, 153, 145, 144, 163, 7),
    (263, 466, 388, 387, 386, 385, 384, 398, 362, 382, 381, 380, 374, 373, 390, 249),
)
_BROWS = (
    (70, 63, 105, 66, 107, 55, 65, 52, 53, 46),
    (300, 293, 334, 296, 336, 285, 295, 282, 283, 276),
)
_LIDS = (
    (226, 113, 225, 224, 223, 222, 221, 189, 244, 133, 173, 157, 158, 159, 160, 161, 246, 33),
    (446, 342, 445, 444, 443, 442, 441, 413, 464, 362, 398, 384, 385, 386, 387, 388, 466, 263),
)
_BROW_TOPS, _NOSE_TIP, _CHIN = (105, 334), 4, 152

# Least variance of a class's colours: clothes may be anything, so they explain little for certain.
_SLACK = (2e-4, 4e-4, 1e-3)
_GAP = 9  # pixels of 256 between strands of hair
_TEXTURE = 4.0  # a step of lightness from pixel to pixel, against one of colour


def find_regions(picture: Picture | Pixels, face: Face, alignment: Alignment, size: int) -> Tensor:
    """Soft masks [len(REGIONS), size, size] in [0, 1] of an aligned face; they add up to 1."""
    image = alignment.crop(picture, _SIZE)
    points = alignment.to_square(face.points[:, :2])
    coarse = _classes(image, points, person_in(picture, alignment))
    guide = image if size == _SIZE else alignment.crop(picture, size)
    background, hair, skin, clothes = _follow_edges(coarse, image, guide)
    _, lips, mouth, eyes, brows, _ = _polygons(points, size)
    lips = (lips - mouth).clamp(0, 1)
    # A fringe hangs over brows.
    brows = brows * (1 - hair)
    rest = 1 - torch.stack([lips, mouth, eyes, brows]).sum(0).clamp(0, 1)
    stack = [background * rest, hair * rest, skin * rest, brows, eyes, lips, mouth, clothes * rest]
    masks = torch.stack(stack)
    return masks / masks.sum(0).clamp(min=1e-6)


def mouth_in(points: NDArray[np.floating], size: int) -> Tensor:
    """What open lips show, [size, size] in [0, 1].

    points: [478, 2 or more], the mesh in the square, (0, 0) to (1, 1).
    """
    return _filled((_MOUTH,), points[:, :2], size)


def person_in(picture: Picture | Pixels, alignment: Alignment) -> Tensor:
    """Probability of a person [256, 256] in the aligned square.

    The network is shown the square and what is around it, narrow and wide; the median is taken,
    because each view alone fails somewhere.
    """
    side = PersonSegmenter.SIZE
    views, insides = [], []
    for wider in (1.0, 1.4, 2.0):
        right = (wider * alignment.right[0], wider * alignment.right[1])
        view = Alignment(alignment.centre, right)
        views.append(view.crop(picture, side))
        insides.append(round(side / wider))
    with torch.inference_mode():
        persons = torch.sigmoid(person_segmenter()(torch.stack(views)))
    seen = []
    for person, inside in zip(persons, insides, strict=True):
        edge = (side - inside) // 2
        middle = person[None, None, edge : edge + inside, edge : edge + inside]
        seen.append(F.interpolate(middle, (_SIZE, _SIZE), mode="bilinear")[0, 0])
    return torch.stack(seen).median(0).values


def _classes(image: Tensor, points: NDArray[np.floating], person: Tensor) -> Tensor:
    """Background, hair, skin and clothes [4, S, S] as if the face had no eyes, brows and lips."""
    face, lips, _, eyes, brows, lids = _polygons(points, image.shape[-1])
    features = torch.stack([lips, eyes, brows, lids]).amax(0)
    dark = F.max_pool2d(features[None, None], 5, 1, 2)[0, 0]
    hair, skin = _hair_and_skin(image, points, person, face, dark)
    skin = (skin * (1 - hair)).clamp(0, 1)
    person = torch.maximum(person, face)
    classes = torch.stack([1 - person, hair, skin, (person - hair - skin).clamp(0, 1)])
    return classes / classes.sum(0).clamp(min=1e-6)


def _follow_edges(masks: Tensor, image: Tensor, guide: Tensor) -> Tensor:
    """Masks [K, S, S] of `image` at the size of `guide`, their edges on the guide's.

    He and Sun 2015, "Fast guided filter" (arXiv:1505.00996).
    """
    radius, slack = _SIZE // 64, 1e-4

    def mean(x: Tensor) -> Tensor:
        return F.avg_pool2d(x[None], 2 * radius + 1, 1, radius, count_include_pad=False)[0]

    grey = image.mean(0, keepdim=True)
    mean_grey, mean_masks = mean(grey), mean(masks)
    slope = mean(grey * masks) - mean_grey * mean_masks
    slope = slope / (mean(grey * grey) - mean_grey.square() + slack)
    level = mean_masks - slope * mean_grey
    size = guide.shape[-2:]
    slope, level = (
        F.interpolate(mean(x)[None], size, mode="bilinear", antialias=size[0] < _SIZE)[0]
        for x in (slope, level)
    )
    found = (slope * guide.mean(0) + level).clamp(0, 1)
    return found / found.sum(0).clamp(min=1e-6)


def _polygons(points: NDArray[np.floating], size: int) -> Tensor:
    """Face, lips with mouth, mouth, eyes, brows and lids as filled polygons, [6, size, size]."""
    kinds = ((_OVAL,), (_LIPS,), (_MOUTH,), _EYES, _BROWS, _LIDS)
    return torch.stack([_filled(shapes, points, size) for shapes in kinds])


def _filled(shapes: tuple[tuple[int, ...], ...], points: NDArray[np.floating], size: int) -> Tensor:
    """Polygons between points of the mesh, [size, size] in [0, 1]."""
    scale = 4
    corners = points * size * scale - 0.5
    image = Image.new("L", (size * scale, size * scale))
    draw = ImageDraw.Draw(image)
    for shape in shapes:
        draw.polygon([(float(x), float(y)) for x, y in corners[list(shape)]], fill=255)
    return torch.from_numpy(np.asarray(image.reduce(scale), np.float32) / 255)


def _hair_and_skin(
    image: Tensor, points: NDArray[np.floating], person: Tensor, face: Tensor, features: Tensor
) -> tuple[Tensor, Tensor]:
    """Hair, and bare skin with forehead, ears and neck; [S, S] each."""
    size = image.shape[-1]
    oklab = to_oklab(image)
    # Hair of the skin's colour is told by its strands.
    steps = (
        F.pad(oklab[:1].diff(dim=1), (0, 0, 0, 1)).square()
        + F.pad(oklab[:1].diff(dim=2), (0, 1)).square()
    )
    texture = (_blur(steps, size / 64) + 1e-6).sqrt() * _TEXTURE
    lab = torch.cat([_blur(oklab, size / 256), texture])
    u, v = _face_coordinates(points, size)
    above = torch.sigmoid(-v * 12)
    below = torch.sigmoid((v - 1) * 8)
    beside = (1 - above) * (1 - below)
    # The mesh ends below the hairline, so the forehead is given its own, larger ellipse.
    beyond = ((u / 0.53).square() + (v / 0.62).square()).sqrt() - 1
    scalp = above * torch.sigmoid(beyond * 9)
    edge = torch.sigmoid((u.abs() - 0.42) * 30)
    under_chin = torch.sigmoid((0.38 - u.abs()) * 20)
    # A turned head is narrower than its ears are far.
    left, right, nose = points[LEFT_SIDE, 0], points[RIGHT_SIDE, 0], points[_NOSE_TIP, 0]
    turn = abs((nose - (left + right) / 2) / (right - left))
    ears = beside * torch.sigmoid((0.68 + 0.7 * float(turn) - u.abs()) * 25)
    outside = 1 - face
    fringe = (above - scalp) * torch.sigmoid((-v - 0.1) * 25)
    hair = scalp * 0.96 + fringe * 0.25
    hair = hair + outside * (beside * 0.55 + below * (0.33 - 0.31 * under_chin))
    hair = hair + face * beside * edge * 0.08
    throat = under_chin * torch.sigmoid((1.6 - v) * 8)
    skin = above * (1 - hair) * 0.99 + outside * (
        0.02 + ears * 0.38 + below * (0.15 + 0.7 * throat)
    )
    skin = skin + face * (1 - above) * (1 - edge * 0.08)
    cloth = outside * (above * 0.005 + beside * 0.03 + below * (0.65 - 0.5 * throat))
    prior = torch.stack([hair, skin, cloth]).clamp(min=1e-4)
    prior = prior / prior.sum(0)

    presence = person * (1 - features)
    certain = torch.stack(
        [
            above * torch.sigmoid((beyond - 0.2) * 20),
            face * (1 - above) * (1 - edge),
            outside * torch.sigmoid((v - 1.4) * 20) * (1 - throat),
        ]
    )
    colours, few_prior, few_presence, few_certain = (
        F.interpolate(x[None], (_CLASSES, _CLASSES), mode="area")[0]
        for x in (lab, prior, presence[None], certain)
    )
    # Glasses and shadows are in the face, but they are not its colour.
    for _ in range(3):
        mean, _ = _gaussian(colours, few_certain[1] * few_presence[0], _SLACK[1])
        distance = (colours - mean[:, None, None]).square().sum(0)
        few_certain[1] *= torch.exp(-0.5 * distance / 0.15**2)
    weight = few_certain * few_presence
    for _ in range(4):
        gaussians = [_gaussian(colours, w, s) for w, s in zip(weight, _SLACK, strict=True)]
        weight = (few_certain + 0.4 * _posterior(colours, gaussians, few_prior)) * few_presence
    posterior = _posterior(lab, gaussians, prior)
    # On a bald head the hair's Gaussian holds skin.
    haired = torch.sigmoid((_separation(*gaussians[:2]) - 0.75) * 12)
    hair = _connected(posterior[0] * haired * person, scalp * person)
    # Strands in the light have another colour than the rest; gaps between hair are hair.
    grown = F.max_pool2d(hair[None, None], _GAP, 1, _GAP // 2)
    closed = -F.max_pool2d(-grown, _GAP, 1, _GAP // 2)[0, 0]
    hair = torch.maximum(hair, closed * above * person)
    # Brows and lids are as dark as hair, and hair only where a fringe hangs over all around them.
    free = 1 - features
    around = _blur(hair * free, size / 20) / _blur(free, size / 20).clamp(min=1e-3)
    hair = hair * (free + features * torch.sigmoid((around - 0.5) * 12))
    bald = posterior[0] * (1 - haired)
    bare = (posterior[1] + bald) * person * outside
    return hair, (face + bare).clamp(0, 1)


def _face_coordinates(points: NDArray[np.floating], size: int) -> tuple[Tensor, Tensor]:
    """Coordinates upright in the face, [size, size] each.

    u runs across, -0.5 to 0.5 from one side of the face to the other; v runs down, 0 at the brows
    and 1 at the chin.
    """
    across = points[RIGHT_SIDE] - points[LEFT_SIDE]
    width = float(np.hypot(*across))
    across = across / width
    down = np.array([-across[1], across[0]])
    brow = points[list(_BROW_TOPS)].mean(0)
    height = float((points[_CHIN] - brow) @ down)
    axis = (np.arange(size) + 0.5) / size
    offset = np.stack(np.meshgrid(axis, axis), -1) - brow
    return (
        torch.from_numpy(offset @ across / width).float(),
        torch.from_numpy(offset @ down / height).float(),
    )


def _gaussian(lab: Tensor, weight: Tensor, slack: float) -> tuple[Tensor, Tensor]:
    """Mean [4] and Cholesky factor [4, 4] of the colours [4, H, W] weighted by `weight` [H, W]."""
    x, w = lab.flatten(1), weight.flatten() + 1e-8
    w = w / w.sum()
    mean = x @ w
    centred = x - mean[:, None]
    covariance = (centred * w) @ centred.T + torch.eye(len(x)) * slack
    return mean, torch.linalg.cholesky(covariance)


def _posterior(lab: Tensor, gaussians: list[tuple[Tensor, Tensor]], prior: Tensor) -> Tensor:
    """Probability of each class [K, H, W]."""
    scores = []
    for mean, root in gaussians:
        centred = lab.flatten(1) - mean[:, None]
        white = torch.linalg.solve_triangular(root, centred, upper=False)
        score = -0.5 * white.square().sum(0) - root.diagonal().log().sum()
        scores.append(score.reshape(lab.shape[1:]))
    # Neighbouring pixels are not independent evidence, nor are colours Gaussian: hence the 0.6.
    return torch.softmax(0.6 * torch.stack(scores) + prior.log(), 0)


def _separation(first: tuple[Tensor, Tensor], second: tuple[Tensor, Tensor]) -> Tensor:
    """Mahalanobis distance of two Gaussians' means under their mean covariance."""
    (mean, root), (other_mean, other_root) = first, second
    covariance = (root @ root.T + other_root @ other_root.T) / 2
    white = torch.linalg.solve_triangular(
        torch.linalg.cholesky(covariance), (mean - other_mean)[:, None], upper=False
    )
    distance: Tensor = white.square().sum().sqrt()
    return distance


def _connected(mask: Tensor, seed: Tensor) -> Tensor:
    """What of `mask` [S, S] can be reached from `seed` without leaving it (at a quarter size)."""
    coarse = F.interpolate(mask[None, None], (64, 64), mode="area")
    reached = F.interpolate(seed[None, None], (64, 64), mode="area").minimum(coarse)
    for _ in range(64):
        reached = F.max_pool2d(reached, 3, 1, 1).minimum(coarse)
    # How wide the narrowest way to a place is, against what there is: a dark jacket is reached
    # over the neck only.
    ratio = F.max_pool2d(reached, 3, 1, 1) / coarse.clamp(min=1e-3)
    gate = torch.sigmoid((ratio - 0.6) * 12)
    return mask * F.interpolate(gate, mask.shape, mode="bilinear")[0, 0]


def _blur(x: Tensor, sigma: float) -> Tensor:
    """Gaussian blur of [..., S, S], edges repeated; `sigma` in pixels."""
    size = x.shape[-1]
    radius = max(1, round(3 * sigma))
    offsets = torch.arange(-radius, radius + 1)
    kernel = torch.exp(-0.5 * (offsets / sigma) ** 2)
    columns = (torch.arange(size)[:, None] + offsets).clamp(0, size - 1)
    matrix = torch.zeros(size, size)
    matrix.scatter_add_(1, columns, (kernel / kernel.sum()).expand(size, -1))
    return matrix @ x @ matrix.T
