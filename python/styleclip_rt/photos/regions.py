"""Where hair, skin, lips, eyes, brows, clothes and background are in an aligned face.

Lips, eyes and brows are the mesh's. A network tells people from background; what of a person is
hair, skin or clothes is decided by place and colour: where something lies to the face gives a
prior, and a Gaussian of colours a class is fitted by a few steps of expectation and maximisation.
"""

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw

from styleclip_rt.photos.alignment import Alignment
from styleclip_rt.photos.engine import PhotoEngine, chosen
from styleclip_rt.photos.faces import Face
from styleclip_rt.photos.mesh import LEFT_SIDE, RIGHT_SIDE
from styleclip_rt.photos.oklab import to_oklab
from styleclip_rt.photos.picture import Picture, Pixels
from styleclip_rt.photos.resampling import Planes, resized

Plane = NDArray[np.float32]
"""[H, W]."""

REGIONS = ("background", "hair", "skin", "brows", "eyes", "lips", "mouth", "clothes")
"""In this order in every stack of masks; they add up to 1. `skin` has ears and neck, `mouth` is
what open lips show, `clothes` all else of a person, hats and hands too."""

_SIZE = 256  # pixels at which regions are found, and people, before their edges are drawn
_CLASSES = 64  # and at which colours are fitted

# Indices into MediaPipe's mesh; left and right as seen in the picture.
OVAL = (
    *(10, 338, 297, 332, 284, 251, 389, 356, 454, 323, 361, 288, 397, 365, 379, 378, 400, 377),
    *(152, 148, 176, 149, 150, 136, 172, 58, 132, 93, 234, 127, 162, 21, 54, 103, 67, 109),
)
LIPS = (
    *(61, 185, 40, 39, 37, 0, 267, 269, 270, 409, 291),
    *(375, 321, 405, 314, 17, 84, 181, 91, 146),
)
MOUTH = (
    *(78, 191, 80, 81, 82, 13, 312, 311, 310, 415, 308),
    *(324, 318, 402, 317, 14, 87, 178, 88, 95),
)
EYES = (
    (33, 246, 161, 160, 159, 158, 157, 173, 133, 155, 154, 153, 145, 144, 163, 7),
    (263, 466, 388, 387, 386, 385, 384, 398, 362, 382, 381, 380, 374, 373, 390, 249),
)
BROWS = (
    (70, 63, 105, 66, 107, 55, 65, 52, 53, 46),
    (300, 293, 334, 296, 336, 285, 295, 282, 283, 276),
)
LIDS = (
    (226, 113, 225, 224, 223, 222, 221, 189, 244, 133, 173, 157, 158, 159, 160, 161, 246, 33),
    (446, 342, 445, 444, 443, 442, 441, 413, 464, 362, 398, 384, 385, 386, 387, 388, 466, 263),
)
_BROW_TOPS, _NOSE_TIP, _CHIN = (105, 334), 4, 152

# Least variance of a class's colours: clothes may be anything, so they explain little for certain.
_SLACK = (2e-4, 4e-4, 1e-3)
_GAP = 9  # pixels of 256 between strands of hair
_TEXTURE = 4.0  # a step of lightness from pixel to pixel, against one of colour


def find_regions(
    picture: Picture | Pixels,
    face: Face,
    alignment: Alignment,
    size: int,
    engine: PhotoEngine | None = None,
) -> Planes:
    """Soft masks [len(REGIONS), size, size] in [0, 1] of an aligned face; they add up to 1."""
    image = alignment.crop(picture, _SIZE, engine)
    points = alignment.to_square(face.points[:, :2])
    coarse = _classes(image, points, person_in(picture, alignment, engine))
    guide = image if size == _SIZE else alignment.crop(picture, size, engine)
    background, hair, skin, clothes = _follow_edges(coarse, image, guide)
    _, lips, mouth, eyes, brows, _ = _polygons(points, size)
    lips = (lips - mouth).clip(0, 1)
    # A fringe hangs over brows.
    brows = brows * (1 - hair)
    rest = 1 - (lips + mouth + eyes + brows).clip(0, 1)
    stack = [background * rest, hair * rest, skin * rest, brows, eyes, lips, mouth, clothes * rest]
    return _shared_out(np.stack(stack))


def mouth_in(points: NDArray[np.floating], size: int) -> Plane:
    """What open lips show, [size, size] in [0, 1].

    points: [478, 2 or more], the mesh in the square, (0, 0) to (1, 1).
    """
    return _filled((MOUTH,), points[:, :2], size)


def person_in(
    picture: Picture | Pixels, alignment: Alignment, engine: PhotoEngine | None = None
) -> Plane:
    """Probability of a person [256, 256] in the aligned square.

    The network is shown the square and what is around it, narrow and wide; the median is taken,
    because each view alone fails somewhere.
    """
    views, insides = [], []
    for wider in (1.0, 1.4, 2.0):
        right = (wider * alignment.right[0], wider * alignment.right[1])
        view = Alignment(alignment.centre, right)
        views.append(view.crop(picture, _SIZE, engine))
        insides.append(round(_SIZE / wider))
    logits = chosen(engine).run("person_segmenter", images=np.stack(views))["logits"]
    seen = []
    for person, inside in zip(sigmoid(logits), insides, strict=True):
        edge = (_SIZE - inside) // 2
        seen.append(resized(person[edge : edge + inside, edge : edge + inside], (_SIZE, _SIZE)))
    median: Plane = np.sort(np.stack(seen), 0)[1]
    return median


def _classes(image: Planes, points: NDArray[np.floating], person: Plane) -> Planes:
    """Background, hair, skin and clothes [4, S, S] as if the face had no eyes, brows and lips."""
    face, lips, _, eyes, brows, lids = _polygons(points, image.shape[-1])
    dark = _largest(np.stack([lips, eyes, brows, lids]).max(0), 5)
    hair, skin = _hair_and_skin(image, points, person, face, dark)
    skin = (skin * (1 - hair)).clip(0, 1)
    person = np.maximum(person, face)
    return _shared_out(np.stack([1 - person, hair, skin, (person - hair - skin).clip(0, 1)]))


def _shared_out(masks: Planes) -> Planes:
    """Masks that add up to 1."""
    masks /= masks.sum(0).clip(1e-6)
    return masks


def _follow_edges(masks: Planes, image: Planes, guide: Planes) -> Planes:
    """Masks [K, S, S] of `image` at the size of `guide`, their edges on the guide's.

    He and Sun 2015, "Fast guided filter" (arXiv:1505.00996).
    """
    radius, slack = _SIZE // 64, 1e-4

    def mean(x: Planes) -> Planes:
        return _box_mean(x, radius)

    grey = image.mean(0, keepdims=True)
    mean_grey, mean_masks = mean(grey), mean(masks)
    slope = mean(grey * masks) - mean_grey * mean_masks
    slope = slope / (mean(grey * grey) - mean_grey**2 + slack)
    level = mean_masks - slope * mean_grey
    size = guide.shape[-2:]
    found = resized(mean(slope), size)
    found *= guide.mean(0)
    found += resized(mean(level), size)
    return _shared_out(found.clip(0, 1, out=found))


def _polygons(points: NDArray[np.floating], size: int) -> Planes:
    """Face, lips with mouth, mouth, eyes, brows and lids as filled polygons, [6, size, size]."""
    kinds = ((OVAL,), (LIPS,), (MOUTH,), EYES, BROWS, LIDS)
    return np.stack([_filled(shapes, points, size) for shapes in kinds])


def _filled(shapes: tuple[tuple[int, ...], ...], points: NDArray[np.floating], size: int) -> Plane:
    """Polygons between points of the mesh, [size, size] in [0, 1]."""
    scale = 4
    corners = points * size * scale - 0.5
    image = Image.new("L", (size * scale, size * scale))
    draw = ImageDraw.Draw(image)
    for shape in shapes:
        draw.polygon([(float(x), float(y)) for x, y in corners[list(shape)]], fill=255)
    return np.asarray(image.reduce(scale), np.float32) / np.float32(255)


def _hair_and_skin(
    image: Planes, points: NDArray[np.floating], person: Plane, face: Plane, features: Plane
) -> tuple[Plane, Plane]:
    """Hair, and bare skin with forehead, ears and neck; [S, S] each."""
    size = image.shape[-1]
    oklab = to_oklab(image)
    # Hair of the skin's colour is told by its strands.
    steps = np.zeros_like(oklab[:1])
    steps[:, :-1] = np.diff(oklab[:1], axis=1) ** 2
    steps[:, :, :-1] += np.diff(oklab[:1], axis=2) ** 2
    texture = np.sqrt(blurred(steps, size / 64) + 1e-6) * _TEXTURE
    lab = np.concatenate([blurred(oklab, size / 256), texture])
    u, v = _face_coordinates(points, size)
    above = sigmoid(-v * 12)
    below = sigmoid((v - 1) * 8)
    beside = (1 - above) * (1 - below)
    # The mesh ends below the hairline, so the forehead is given its own, larger ellipse.
    beyond = np.sqrt((u / 0.53) ** 2 + (v / 0.62) ** 2) - 1
    scalp = above * sigmoid(beyond * 9)
    edge = sigmoid((np.abs(u) - 0.42) * 30)
    under_chin = sigmoid((0.38 - np.abs(u)) * 20)
    # A turned head is narrower than its ears are far.
    left, right, nose = points[LEFT_SIDE, 0], points[RIGHT_SIDE, 0], points[_NOSE_TIP, 0]
    turn = float(abs((nose - (left + right) / 2) / (right - left)))
    ears = beside * sigmoid((0.68 + 0.7 * turn - np.abs(u)) * 25)
    outside = 1 - face
    fringe = (above - scalp) * sigmoid((-v - 0.1) * 25)
    hair = scalp * 0.96 + fringe * 0.25
    hair = hair + outside * (beside * 0.55 + below * (0.33 - 0.31 * under_chin))
    hair = hair + face * beside * edge * 0.08
    throat = under_chin * sigmoid((1.6 - v) * 8)
    skin = above * (1 - hair) * 0.99 + outside * (
        0.02 + ears * 0.38 + below * (0.15 + 0.7 * throat)
    )
    skin = skin + face * (1 - above) * (1 - edge * 0.08)
    cloth = outside * (above * 0.005 + beside * 0.03 + below * (0.65 - 0.5 * throat))
    prior = np.stack([hair, skin, cloth]).clip(1e-4)
    prior = prior / prior.sum(0)

    presence = person * (1 - features)
    certain = np.stack(
        [
            above * sigmoid((beyond - 0.2) * 20),
            face * (1 - above) * (1 - edge),
            outside * sigmoid((v - 1.4) * 20) * (1 - throat),
        ]
    )
    colours, few_prior, few_presence, few_certain = (
        _area_mean(x) for x in (lab, prior, presence[None], certain)
    )
    # Glasses and shadows are in the face, but they are not its colour.
    for _ in range(3):
        mean, _ = _gaussian(colours, few_certain[1] * few_presence[0], _SLACK[1])
        distance = ((colours - mean[:, None, None]) ** 2).sum(0)
        few_certain[1] *= np.exp(-0.5 * distance / 0.15**2)
    weight = few_certain * few_presence
    for _ in range(4):
        gaussians = [_gaussian(colours, w, s) for w, s in zip(weight, _SLACK, strict=True)]
        weight = (few_certain + 0.4 * _posterior(colours, gaussians, few_prior)) * few_presence
    posterior = _posterior(lab, gaussians, prior)
    # On a bald head the hair's Gaussian holds skin.
    haired = float(sigmoid(np.array((_separation(*gaussians[:2]) - 0.75) * 12)))
    hair = _connected(posterior[0] * haired * person, scalp * person)
    # Strands in the light have another colour than the rest; gaps between hair are hair.
    closed = -_largest(-_largest(hair, _GAP), _GAP)
    hair = np.maximum(hair, closed * above * person)
    # Brows and lids are as dark as hair, and hair only where a fringe hangs over all around them.
    free = 1 - features
    around = blurred(hair * free, size / 20) / blurred(free, size / 20).clip(1e-3)
    hair = hair * (free + features * sigmoid((around - 0.5) * 12))
    bald = posterior[0] * (1 - haired)
    bare = (posterior[1] + bald) * person * outside
    return hair, (face + bare).clip(0, 1)


def _face_coordinates(points: NDArray[np.floating], size: int) -> tuple[Plane, Plane]:
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
        (offset @ across / width).astype(np.float32),
        (offset @ down / height).astype(np.float32),
    )


def _gaussian(lab: Planes, weight: Plane, slack: float) -> tuple[Plane, Plane]:
    """Mean [4] and Cholesky factor [4, 4] of the colours [4, H, W] weighted by `weight` [H, W]."""
    x, w = lab.reshape(len(lab), -1), weight.reshape(-1) + np.float32(1e-8)
    w = w / w.sum()
    mean = x @ w
    centred = x - mean[:, None]
    covariance = (centred * w) @ centred.T + np.eye(len(x), dtype=np.float32) * np.float32(slack)
    return mean, np.linalg.cholesky(covariance)


def _posterior(lab: Planes, gaussians: list[tuple[Plane, Plane]], prior: Planes) -> Planes:
    """Probability of each class [K, H, W]."""
    scores = []
    for mean, root in gaussians:
        white = np.linalg.inv(root) @ (lab.reshape(len(lab), -1) - mean[:, None])
        score = -0.5 * (white**2).sum(0) - np.log(np.diagonal(root)).sum()
        scores.append(score.reshape(lab.shape[1:]))
    # Neighbouring pixels are not independent evidence, nor are colours Gaussian: hence the 0.6.
    certainty = np.float32(0.6) * np.stack(scores) + np.log(prior)
    share = np.exp(certainty - certainty.max(0))
    return _shared_out(share)


def _separation(first: tuple[Plane, Plane], second: tuple[Plane, Plane]) -> float:
    """Mahalanobis distance of two Gaussians' means under their mean covariance."""
    (mean, root), (other_mean, other_root) = first, second
    covariance = (root @ root.T + other_root @ other_root.T) / 2
    difference = mean - other_mean
    return float(np.sqrt(difference @ np.linalg.solve(covariance, difference)))


def _connected(mask: Plane, seed: Plane) -> Plane:
    """What of `mask` [S, S] can be reached from `seed` without leaving it (at a quarter size)."""
    coarse = _area_mean(mask)
    reached = np.minimum(_area_mean(seed), coarse)
    for _ in range(64):
        reached = np.minimum(_largest(reached, 3), coarse)
    # How wide the narrowest way to a place is, against what there is: a dark jacket is reached
    # over the neck only.
    ratio = _largest(reached, 3) / coarse.clip(1e-3)
    gate = sigmoid((ratio - 0.6) * 12)
    return mask * resized(gate, (mask.shape[0], mask.shape[1]))


def blurred(x: Planes, sigma: float) -> Planes:
    """Gaussian blur of [..., S, S], edges repeated; `sigma` in pixels."""
    size = x.shape[-1]
    radius = max(1, round(3 * sigma))
    offsets = np.arange(-radius, radius + 1)
    kernel = np.exp(-0.5 * (offsets / sigma) ** 2)
    columns = (np.arange(size)[:, None] + offsets).clip(0, size - 1)
    matrix = np.zeros((size, size))
    np.add.at(matrix, (np.arange(size)[:, None], columns), kernel / kernel.sum())
    blurry: Planes = matrix.astype(np.float32) @ x @ matrix.T.astype(np.float32)
    return blurry


def sigmoid(x: NDArray[np.floating]) -> Plane:
    """1 / (1 + exp(-x)), of any x."""
    curve: Plane = 0.5 + 0.5 * np.tanh(0.5 * x)
    return curve


def _largest(x: Plane, width: int) -> Plane:
    """The largest value of [S, S] within squares of an odd `width` around each pixel."""
    for axis in (0, 1):
        padded = np.pad(x, [(width // 2,) * 2 if a == axis else (0, 0) for a in (0, 1)], "edge")
        x = np.lib.stride_tricks.sliding_window_view(padded, width, axis).max(-1)
    return x


def _area_mean(x: Planes) -> Planes:
    """[..., S, S] -> [..., _CLASSES, _CLASSES]."""
    times = x.shape[-1] // _CLASSES
    parts = x.reshape(*x.shape[:-2], _CLASSES, times, _CLASSES, times)
    few: Planes = parts.mean((-3, -1))
    return few


def _box_mean(x: Planes, radius: int) -> Planes:
    """The mean of [K, S, S] within squares around each pixel, of what of them is in the picture."""
    size = x.shape[-1]
    near = np.abs(np.arange(size)[:, None] - np.arange(size)) <= radius
    matrix = (near / near.sum(1, keepdims=True)).astype(np.float32)
    mean: Planes = matrix @ x @ matrix.T
    return mean
