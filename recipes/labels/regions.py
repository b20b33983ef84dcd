"""Where things are in a face: soft masks from landmarks, a person mask and colours."""

from functools import lru_cache

import numpy as np
import torch
import torch.nn.functional as F
from PIL import Image, ImageDraw
from torch import Tensor

# Indices into MediaPipe's face mesh of 468 points; left and right as seen in the image.
OVAL = (
    *(10, 338, 297, 332, 284, 251, 389, 356, 454, 323, 361, 288, 397, 365, 379, 378, 400, 377),
    *(152, 148, 176, 149, 150, 136, 172, 58, 132, 93, 234, 127, 162, 21, 54, 103, 67, 109),
)
LIPS_UPPER_OUTER = (61, 185, 40, 39, 37, 0, 267, 269, 270, 409, 291)
LIPS_LOWER_OUTER = (61, 146, 91, 181, 84, 17, 314, 405, 321, 375, 291)
LIPS_UPPER_INNER = (78, 191, 80, 81, 82, 13, 312, 311, 310, 415, 308)
LIPS_LOWER_INNER = (78, 95, 88, 178, 87, 14, 317, 402, 318, 324, 308)
EYE_UPPER = (
    (33, 246, 161, 160, 159, 158, 157, 173, 133),
    (263, 466, 388, 387, 386, 385, 384, 398, 362),
)
EYE_LOWER = (
    (33, 7, 163, 144, 145, 153, 154, 155, 133),
    (263, 249, 390, 373, 374, 380, 381, 382, 362),
)
LID_UPPER = (
    (226, 113, 225, 224, 223, 222, 221, 189, 244),
    (446, 342, 445, 444, 443, 442, 441, 413, 464),
)
BROW_UPPER = ((70, 63, 105, 66, 107), (300, 293, 334, 296, 336))
BROW_LOWER = ((46, 53, 52, 65, 55), (276, 283, 282, 295, 285))
CHEEK = (
    (116, 117, 118, 101, 36, 205, 187, 147, 123),
    (345, 346, 347, 330, 266, 425, 411, 376, 352),
)
MOUSTACHE_TOP = (410, 426, 327, 326, 2, 97, 98, 206, 186)
JAW = (132, 58, 172, 136, 150, 149, 176, 148, 152, 377, 400, 378, 379, 365, 397, 288, 361)
LEFT_SIDE, RIGHT_SIDE, TOP, CHIN, NOSE_TIP = 234, 454, 10, 152, 4

REGIONS = (
    *("lips", "upper_lip", "beard", "brows", "eyes", "eyelids", "lashes", "cheeks"),
    *("face", "skin", "hair", "neck", "background"),
)


def to_oklab(rgb: Tensor) -> Tensor:
    """sRGB [...,3,H,W] in [0,1] to OKLab: L in [0,1], a and b about [-0.4, 0.4].

    Björn Ottosson, "A perceptual color space for image processing", 2020.
    """
    linear = torch.where(rgb <= 0.04045, rgb / 12.92, ((rgb.clamp(min=0) + 0.055) / 1.055) ** 2.4)
    cone = torch.einsum("ij,...jhw->...ihw", _RGB_TO_CONE.to(rgb), linear)
    return torch.einsum("ij,...jhw->...ihw", _CONE_TO_LAB.to(rgb), cone.clamp(min=0) ** (1 / 3))


def from_oklab(lab: Tensor) -> Tensor:
    """The inverse of `to_oklab`, clipped to [0,1]."""
    cone = torch.einsum("ij,...jhw->...ihw", torch.linalg.inv(_CONE_TO_LAB).to(lab), lab) ** 3
    linear = torch.einsum("ij,...jhw->...ihw", torch.linalg.inv(_RGB_TO_CONE).to(lab), cone)
    linear = linear.clamp(0, 1)
    return torch.where(linear <= 0.0031308, linear * 12.92, 1.055 * linear ** (1 / 2.4) - 0.055)


_RGB_TO_CONE = torch.tensor(
    [
        [0.4122214708, 0.5363325363, 0.0514459929],
        [0.2119034982, 0.6806995451, 0.1073969566],
        [0.0883024619, 0.2817188376, 0.6299787005],
    ],
    dtype=torch.float64,
)
_CONE_TO_LAB = torch.tensor(
    [
        [0.2104542553, 0.7936177850, -0.0040720468],
        [1.9779984951, -2.4285922050, 0.4505937099],
        [0.0259040371, 0.7827717662, -0.8086757660],
    ],
    dtype=torch.float64,
)


def blur(x: Tensor, sigma: float) -> Tensor:
    """Gaussian blur of [...,H,W] with edges repeated; `sigma` in pixels."""
    vertical, horizontal = (_blur_matrix(n, sigma).to(x) for n in x.shape[-2:])
    return vertical @ x @ horizontal.T


@lru_cache(maxsize=32)
def _blur_matrix(size: int, sigma: float) -> Tensor:
    """[size,size]; as a product with a dense matrix a blur is faster here than a convolution."""
    radius = max(1, round(3 * sigma))
    offsets = torch.arange(-radius, radius + 1)
    kernel = torch.exp(-0.5 * (offsets / sigma) ** 2)
    columns = (torch.arange(size)[:, None] + offsets).clamp(0, size - 1)
    matrix = torch.zeros(size, size)
    return matrix.scatter_add_(1, columns, (kernel / kernel.sum()).expand(size, -1))


def find_regions(images: Tensor, landmarks: Tensor, person: Tensor) -> dict[str, Tensor]:
    """Soft masks of the regions of `REGIONS`.

    Args:
        images: [N,3,S,S], RGB in [0,1].
        landmarks: [N,468,2] in unit image coordinates, x then y.
        person: [N,h,w], probability of person.

    Returns:
        Region name -> [N,S,S] float32 in [0,1]. "lips" leaves out the mouth's opening, "skin" is
        the face without eyes, lips, brows and hair that hangs over it.
    """
    size = images.shape[-1]
    drawn = torch.stack([_draw(points, size) for points in landmarks.numpy()])
    masks = dict(zip(_DRAWN, drawn.unbind(1), strict=True))
    person = F.interpolate(person[:, None], (size, size), mode="bilinear", antialias=True)[:, 0]
    mouth = masks.pop("mouth")
    masks["lips"] = (masks["lips"] - mouth).clamp(0, 1)
    features = torch.stack([masks[k] for k in ("lips", "eyes", "brows")] + [mouth]).amax(0)
    dark = F.max_pool2d(torch.maximum(features, masks["eyelids"]), 5, 1, 2)
    hair, bare = _hair_and_skin(images, landmarks, person, masks["face"], dark)
    not_hair = 1 - hair
    for name in ("upper_lip", "beard", "eyelids", "cheeks"):
        masks[name] = masks[name] * not_hair * (1 - features)
    forehead, masks["neck"] = bare
    masks["skin"] = (masks["face"] * not_hair + forehead).clamp(0, 1) * (1 - features)
    masks["hair"] = hair
    masks["background"] = 1 - person
    return {name: masks[name] for name in REGIONS}


_DRAWN = (
    *("lips", "mouth", "upper_lip", "beard", "brows", "eyes"),
    *("eyelids", "lashes", "cheeks", "face"),
)


def _draw(points: np.ndarray, size: int) -> Tensor:
    """The regions of `_DRAWN` of one face as filled polygons [R,size,size]."""
    scale = 3
    points = points * size * scale - 0.5
    masks = []

    def fill(*polygons: np.ndarray) -> None:
        image = Image.new("L", (size * scale, size * scale))
        draw = ImageDraw.Draw(image)
        for polygon in polygons:
            draw.polygon([(float(x), float(y)) for x, y in polygon], fill=255)
        masks.append(np.asarray(image.reduce(scale), np.float32) / 255)

    def ring(upper: tuple[int, ...], lower: tuple[int, ...]) -> np.ndarray:
        return points[[*upper, *reversed(lower)]]

    fill(ring(LIPS_UPPER_OUTER, LIPS_LOWER_OUTER))
    fill(ring(LIPS_UPPER_INNER, LIPS_LOWER_INNER))
    fill(points[[*LIPS_UPPER_OUTER, *MOUSTACHE_TOP]])
    centre = points[NOSE_TIP]
    jaw = centre + (points[list(JAW)] - centre) * 1.04
    fill(np.concatenate([jaw, points[[435, 427, *reversed(LIPS_LOWER_OUTER), 207, 215]]]))
    fill(*(ring(u, b) for u, b in zip(BROW_UPPER, BROW_LOWER, strict=True)))
    fill(*(ring(u, b) for u, b in zip(EYE_UPPER, EYE_LOWER, strict=True)))
    fill(*(ring(u, b) for u, b in zip(LID_UPPER, EYE_UPPER, strict=True)))
    fill(
        *(
            _lash_band(points[list(u)], points[list(b)])
            for u, b in zip(EYE_UPPER, EYE_LOWER, strict=True)
        )
    )
    fill(*(points[list(c)] for c in CHEEK))
    fill(points[list(OVAL)])
    return torch.from_numpy(np.stack(masks))


def _lash_band(upper: np.ndarray, lower: np.ndarray) -> np.ndarray:
    """The upper lid's rim from the outer corner inwards, drawn out beyond the corner."""
    width = np.linalg.norm(upper[0] - upper[-1])
    up = upper.mean(0) - lower.mean(0)
    up = up / (np.linalg.norm(up) + 1e-6)
    outward = (upper[0] - upper[-1]) / (width + 1e-6)
    grow = np.linspace(1, 0.4, len(upper))[:, None]
    rim = upper + up * width * 0.13 * grow
    tip = upper[:1] + outward * width * 0.16 + up * width * 0.14
    return np.concatenate([upper, rim[::-1], tip])


def _hair_and_skin(
    images: Tensor, landmarks: Tensor, person: Tensor, face: Tensor, features: Tensor
) -> tuple[Tensor, tuple[Tensor, Tensor]]:
    """Hair [N,S,S], and the bare skin outside the mesh's oval: forehead, then neck with ears.

    Every pixel of the person is hair, skin or cloth. Where it is relative to the face gives a
    prior, and a Gaussian of colours for each class is fitted by a few steps of expectation and
    maximisation; the skin's colours come from the face.
    """
    size = images.shape[-1]
    lab = blur(to_oklab(images), size / 256)
    u, v = _face_coordinates(landmarks, size)
    above = torch.sigmoid(-v * 12)
    below = torch.sigmoid((v - 1) * 8)
    beside = (1 - above) * (1 - below)
    # The mesh ends below the hairline, so the forehead is given its own, larger ellipse.
    beyond = ((u / 0.53).square() + (v / 0.62).square()).sqrt() - 1
    scalp = above * torch.sigmoid(beyond * 9)
    edge = torch.sigmoid((u.abs() - 0.42) * 30)
    under_chin = torch.sigmoid((0.38 - u.abs()) * 20)
    # A turned head is narrower than its ears are far.
    middle = landmarks[:, [LEFT_SIDE, RIGHT_SIDE], 0].mean(1)
    breadth = (landmarks[:, RIGHT_SIDE, 0] - landmarks[:, LEFT_SIDE, 0]).abs()
    turn = ((landmarks[:, NOSE_TIP, 0] - middle) / breadth).abs()
    ears = beside * torch.sigmoid((0.68 + 0.7 * turn[:, None, None] - u.abs()) * 25)
    outside = 1 - face
    fringe = (above - scalp) * torch.sigmoid((-v - 0.1) * 25)
    hair = scalp * 0.96 + fringe * 0.12
    hair = hair + outside * (beside * 0.55 + below * (0.33 - 0.31 * under_chin))
    hair = hair + face * beside * edge * 0.08
    throat = under_chin * torch.sigmoid((1.6 - v) * 8)
    skin = above * (1 - hair) * 0.99 + outside * (
        0.02 + ears * 0.38 + below * (0.15 + 0.7 * throat)
    )
    skin = skin + face * (1 - above) * (1 - edge * 0.08)
    cloth = outside * (above * 0.005 + beside * 0.03 + below * (0.65 - 0.5 * throat))
    prior = torch.stack([hair, skin, cloth], 1).clamp(min=1e-4)
    prior = prior / prior.sum(1, keepdim=True)

    presence = person * (1 - features)
    certain = torch.stack(
        [
            above * torch.sigmoid((beyond - 0.2) * 20),
            face * (1 - above) * (1 - edge),
            outside * torch.sigmoid((v - 1.4) * 20) * (1 - throat),
        ],
        1,
    )
    small = 64
    colours, few_prior, few_presence, few_certain = (
        F.interpolate(x, (small, small), mode="area")
        for x in (lab, prior, presence[:, None], certain)
    )
    # Glasses and shadows are in the face, but they are not its colour.
    for _ in range(3):
        mean, _ = _gaussian(colours, few_certain[:, 1] * few_presence[:, 0], _SLACK[1])
        distance = (colours.flatten(2) - mean).square().sum(1).reshape(-1, small, small)
        few_certain[:, 1] *= torch.exp(-0.5 * distance / 0.15**2)
    weight = few_certain * few_presence
    for _ in range(4):
        gaussians = [_gaussian(colours, weight[:, k], _SLACK[k]) for k in range(3)]
        posterior = _posterior(colours, gaussians, few_prior)
        weight = (few_certain + 0.4 * posterior) * few_presence
    posterior = _posterior(lab, gaussians, prior)
    # On a bald head the hair's Gaussian holds skin.
    haired = torch.sigmoid((_separation(*gaussians[:2]) - 0.75) * 12)
    hair = posterior[:, 0] * haired[:, None, None]
    hair = _connected(hair * person, scalp * person)
    # Brows and lids are as dark as hair, and hair only where a fringe hangs over all around them.
    free = 1 - features
    around = blur(hair * free, size / 20) / blur(free, size / 20).clamp(min=1e-3)
    hair = hair * (free + features * torch.sigmoid((around - 0.5) * 12))
    bald = posterior[:, 0] * (1 - haired)[:, None, None]
    skin = (posterior[:, 1] + bald) * person * outside
    return hair, (skin * above, skin * (1 - above))


def _face_coordinates(landmarks: Tensor, size: int) -> tuple[Tensor, Tensor]:
    """Coordinates upright in the face, each [N,size,size].

    u runs across, -0.5 to 0.5 from one side of the face to the other; v runs down, 0 at the brows
    and 1 at the chin.
    """
    across = landmarks[:, RIGHT_SIDE] - landmarks[:, LEFT_SIDE]
    width = across.norm(dim=1, keepdim=True)
    across = across / width
    down = torch.stack([-across[:, 1], across[:, 0]], 1)
    brow = landmarks[:, [105, 334]].mean(1)
    height = ((landmarks[:, CHIN] - brow) * down).sum(1, keepdim=True)
    axis = (torch.arange(size) + 0.5) / size
    grid = torch.stack(torch.meshgrid(axis, axis, indexing="xy"), -1).reshape(1, -1, 2)
    offset = grid - brow[:, None]
    u = torch.einsum("npc,nc->np", offset, across / width)
    v = torch.einsum("npc,nc->np", offset, down / height)
    return u.reshape(-1, size, size), v.reshape(-1, size, size)


# Least variance of a class's colours: cloth may be anything, so it explains little for certain.
_SLACK = (2e-4, 4e-4, 1e-3)


def _gaussian(lab: Tensor, weight: Tensor, slack: float) -> tuple[Tensor, Tensor]:
    """Mean [N,3,1] and Cholesky factor [N,3,3] of the colours weighted by `weight` [N,H,W]."""
    x = lab.flatten(2)
    w = weight.flatten(1)[:, None] + 1e-8
    w = w / w.sum(2, keepdim=True)
    mean = (x * w).sum(2, keepdim=True)
    centred = x - mean
    covariance = torch.einsum("ncp,ndp->ncd", centred * w, centred) + torch.eye(3) * slack
    return mean, torch.linalg.cholesky(covariance)


def _separation(first: tuple[Tensor, Tensor], second: tuple[Tensor, Tensor]) -> Tensor:
    """Mahalanobis distance [N] of two Gaussians' means under their mean covariance."""
    (mean, root), (other_mean, other_root) = first, second
    covariance = (root @ root.transpose(1, 2) + other_root @ other_root.transpose(1, 2)) / 2
    white: Tensor = torch.linalg.solve_triangular(
        torch.linalg.cholesky(covariance), mean - other_mean, upper=False
    )
    return white.square().sum((1, 2)).sqrt()


def _posterior(lab: Tensor, gaussians: list[tuple[Tensor, Tensor]], prior: Tensor) -> Tensor:
    """Probability of each class [N,K,H,W]."""
    scores = []
    for mean, root in gaussians:
        white = torch.linalg.solve_triangular(root, lab.flatten(2) - mean, upper=False)
        logdet = root.diagonal(dim1=1, dim2=2).log().sum(1)
        scores.append((-0.5 * white.square().sum(1) - logdet[:, None]).unflatten(1, lab.shape[2:]))
    # Neighbouring pixels are not independent evidence, nor are colours Gaussian: hence the 0.6.
    return torch.softmax(0.6 * torch.stack(scores, 1) + prior.log(), 1)


def _connected(mask: Tensor, seed: Tensor) -> Tensor:
    """What of `mask` [N,H,W] can be reached from `seed` without leaving it (at a quarter size)."""
    coarse = F.interpolate(mask[:, None], (64, 64), mode="area")
    reached = F.interpolate(seed[:, None], (64, 64), mode="area").minimum(coarse)
    for _ in range(64):
        reached = F.max_pool2d(reached, 3, 1, 1).minimum(coarse)
    # How wide the narrowest way to a place is, against what there is: a dark jacket is reached
    # over the neck only.
    ratio = F.max_pool2d(reached, 3, 1, 1) / coarse.clamp(min=1e-3)
    gate = torch.sigmoid((ratio - 0.6) * 12)
    return mask * F.interpolate(gate, mask.shape[-2:], mode="bilinear")[:, 0]
