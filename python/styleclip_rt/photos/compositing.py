"""What an edit changed, carried over to the photograph: the photograph's own pixels stay.

A drawing of a face is never the face. So not the edited drawing goes into the picture, but the
difference between it and the drawing of the photograph as it is: where the edit moves things the
photograph's pixels are moved, and then colours are changed by as much as between the two drawings.
"""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from styleclip_rt.photos.alignment import Alignment, Window
from styleclip_rt.photos.engine import PhotoEngine, chosen
from styleclip_rt.photos.faces import Box
from styleclip_rt.photos.mesh import Points
from styleclip_rt.photos.picture import Pixels
from styleclip_rt.photos.regions import REGIONS, Plane, sigmoid
from styleclip_rt.photos.resampling import Planes, resized

FEATHER = 0.04
"""How far from the edge of a square within a picture a change fades in, in parts of its side."""

FAINTEST = 1 / 255
"""Of a mask; what is below it changes no pixel."""

_ASIDE, _ALL = 0.6, 0.85
"""Of the score of the region that a prompt is most about: at the first a region begins to be
changed as a whole, from the second on it is."""

_HAIR, _MOUTH = REGIONS.index("hair"), REGIONS.index("mouth")

_STRAY, _SURE = 0.05, 0.7
"""Of the probability of hair: below the first a place is taken for none, from the second on for
nothing but hair. It is uncertain where hair is short or lies in the shade, but never half there."""

_SMALLEST = 1e-4
"""Of the square's area: a smaller region is none."""

_REACH, _HALVINGS = 0.12, 4
"""Of the square's side: how far a point of the mesh takes its surroundings along. Then half as far,
and so on: each adds what the wider ones before have missed."""

_STILL = 0.004
"""Of the square's side: points of two drawings of one face differ by that much unmoved."""

_BORDER = 0.05
"""Of a face's size: how softly the places that belong to two faces part."""

_REST = 0.3
"""How much of a point's weight lies in staying where one is."""


def motion(before: Points, after: Points, size: int) -> Planes:
    """How an edit moves a face, smoothly, from where the mesh's points are before and after it.

    Args:
        before, after: [P, 2 or more] of the same points, in pixels of two drawings.
        size: of the drawings, and of the result.

    Returns:
        [2, size, size]: what is drawn at a place after the edit was that far (x, y), in parts of
        the square, to the left and above before it. It fades out away from the points.
    """
    found, goal = before[:, :2] / np.float32(size), after[:, :2] / np.float32(size)
    small = 96
    middle = (np.arange(small) + 0.5) / small
    grid = np.stack(np.meshgrid(middle, middle), -1).reshape(-1, 2).astype(np.float32)
    missing: Points = goal - found
    field: Points = np.zeros((small * small, 2), np.float32)
    length = np.linalg.norm(missing, axis=1, keepdims=True)
    missing = missing * (1 - _STILL / length.clip(_STILL))
    # Nadaraya and Watson's weighted mean, of what is left, at the grid and at the points.
    at_grid, at_points = (
        np.exp(_squared_distances(places, goal) * (-0.5 / _REACH**2)) for places in (grid, goal)
    )
    for halving in range(_HALVINGS):
        if halving:
            # Half the reach is the Gaussian's fourth power.
            for at in (at_grid, at_points):
                np.square(np.square(at, out=at), out=at)
        field = field + at_grid @ missing / (at_grid.sum(1, keepdims=True) + _REST)
        missing = missing - at_points @ missing / (at_points.sum(1, keepdims=True) + _REST)
    return _enlarged(field.T.reshape(2, small, small), size)


def _enlarged(field: Planes, size: int) -> Planes:
    """[2, n, n] -> [2, size, size], by cubics with a = -0.75, as PyTorch has them."""
    n = field.shape[-1]
    place = (np.arange(size)[:, None] + 0.5) * (n / size) - 0.5
    d = np.abs(place - np.arange(-2, n + 2))
    near, far = (1.25 * d - 2.25) * d**2 + 1, ((3.75 - 0.75 * d) * d - 6) * d + 3
    weights = np.where(d <= 1, near, np.where(d < 2, far, 0)).astype(np.float32)
    padded = np.pad(field, ((0, 0), (2, 2), (2, 2)), "edge")
    return np.asarray(weights @ padded @ weights.T, np.float32)


def _squared_distances(places: Points, points: Points) -> Plane:
    """[N, P] between [N, 2] and [P, 2]."""
    x, y = (places[:, None, axis] - points[:, axis] for axis in (0, 1))
    squares: Plane = x * x + y * y
    return squares


def moved(image: Planes, flow: Planes, engine: PhotoEngine | None = None) -> Planes:
    """[C, H, W] as it is after a `motion` [2, H, W] in parts of its width and height."""
    after: Planes = chosen(engine).run("warp", image=image, flow=flow)["moved"]
    return after


def composite(
    pixels: Pixels,
    alignment: Alignment,
    before: Planes,
    after: Planes,
    mask: Plane,
    flow: Planes | None = None,
    new: Plane | None = None,
    feather: float = FEATHER,
    engine: PhotoEngine | None = None,
    lacking: Planes | None = None,
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
        feather: of the square's side, how far from its edge the change fades in.
        engine: that computes; PyTorch's, if none is given.
        lacking: [3, S, S] in Oklab, what the difference lacks, see `photos.arrival`.
    """
    engine = chosen(engine)
    size = (pixels.shape[0], pixels.shape[1])
    reach = 0.0 if flow is None else float(np.abs(flow * mask).max())
    part = part_of(mask, reach)
    rows, columns = alignment.window(size, part)
    result = pixels.copy()
    changed, weight = weight_in_picture(mask, alignment, size, feather, engine)
    if not weight.any():
        return result
    window = np.ascontiguousarray(pixels[rows, columns].transpose(2, 0, 1))
    photograph: Planes = np.divide(window, 255, dtype=np.float32)
    own, old = photograph, before
    seen: list[Planes] = []
    if flow is not None:
        flow = flow * mask
        old = moved(before, flow, engine).clip(0, 1)
        seen.append(flow)
    drawn = engine.run("oklab", image=after)["colours"]
    seen.append(drawn - engine.run("oklab", image=old)["colours"])
    if lacking is not None:
        seen[-1] += lacking
    there = alignment.inverse(np.concatenate(seen), size, part, engine)
    if flow is not None:
        own = _moved_in_picture(photograph, there[:2], alignment, engine).clip(0, 1)
    edited = engine.run("oklab", image=own)["colours"] + there[-3:]
    new = None if new is None else np.minimum(new, mask)
    if new is not None and new.max() >= FAINTEST:
        inside = part_of(new, 0)
        coming = np.concatenate([new[None], drawn])
        share, *goal = alignment.inverse(coming, size, inside, engine)
        there_edited = edited[
            (slice(None), *_within(alignment.window(size, inside), (rows, columns)))
        ]
        there_edited += share.clip(0, 1) * (np.stack(goal) - there_edited)
    place = (slice(None), *_within(changed, (rows, columns)))
    inputs = {
        "photograph": np.ascontiguousarray(photograph[place]),
        "edited": np.ascontiguousarray(edited[place]),
        "weight": weight,
    }
    shown = engine.run("recolour", **inputs)["shown"]
    values = (shown * 255 + 0.5).astype(np.uint8).transpose(1, 2, 0)
    np.copyto(result[changed], values, where=(weight > 0)[..., None])
    return result


def weight_in_picture(
    mask: Plane,
    alignment: Alignment,
    size: tuple[int, int],
    feather: float = FEATHER,
    engine: PhotoEngine | None = None,
) -> tuple[Window, Plane]:
    """How much of a change each pixel gets: what `composite` goes by.

    Args:
        mask: [S, S] in [0, 1], the same in the square.
        alignment: of the face.
        size: height and width of the picture.
        feather: of the square's side, how far from its edge the change fades in.
        engine: that computes; PyTorch's, if none is given.

    Returns:
        A window of the picture, its rows and columns, which may be empty, and [h, w] in [0, 1] of
        it; elsewhere a pixel gets nothing.
    """
    part = part_of(mask, 0)
    window = alignment.window(size, part)
    rows, columns = window
    if mask.max() < FAINTEST or 0 in (rows.stop - rows.start, columns.stop - columns.start):
        return window, np.zeros((rows.stop - rows.start, columns.stop - columns.start), np.float32)
    weight: Plane = alignment.inverse(mask[None], size, part, engine)[0].clip(0, 1)
    weight *= alignment.coverage(size, feather, part)
    weight[weight < FAINTEST] = 0
    return window, weight


def _within(window: Window, around: Window) -> Window:
    """The rows and columns of a window in those of another that holds it."""
    rows, columns = (
        slice(each.start - outer.start, each.stop - outer.start)
        for each, outer in zip(window, around, strict=True)
    )
    return rows, columns


def part_of(mask: Plane, reach: float) -> Box:
    """The part of the square in which a mask [S, S] is anything, and `reach` around it."""
    size = mask.shape[0]
    edges: list[float] = []
    for axis in (0, 1):
        (where,) = np.nonzero(mask.max(axis) >= FAINTEST)
        first, last = (int(where[0]), int(where[-1])) if len(where) else (0, 0)
        # Cubics reach two pixels of the drawing.
        edges += [(first - 3) / size - reach, (last + 4) / size + reach]
    left, right, top, bottom = (min(max(edge, 0.0), 1.0) for edge in edges)
    return left, top, right, bottom


def _moved_in_picture(
    photograph: Planes, flow: Planes, alignment: Alignment, engine: PhotoEngine
) -> Planes:
    """The picture's window, moved by a flow in parts of the square."""
    height, width = photograph.shape[1:]
    # Of the square -> pixels -> parts of the window.
    turn = alignment.affine()[:, :2] / np.array([[width], [height]])
    in_window = np.tensordot(turn.astype(np.float32), flow, 1)
    return moved(photograph, in_window, engine)


def about(relevance: Plane, regions: Planes) -> Plane:
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
    score, where = _scores(relevance, regions)
    whole = _covered(score)
    if _of_hair_alone(score):
        hair: Plane = decided(regions[_HAIR]) * whole[_HAIR]
        return hair
    # Summed one by one: together they are as large as eight pictures.
    mask: Plane = np.zeros_like(where)
    for region, all_of_it, named in zip(regions, whole, score > 0, strict=True):
        mask += region * np.maximum(all_of_it, where if named else 0)
    return mask.clip(0, 1)


def decided(hair: Plane) -> Plane:
    """A soft mask of hair, its inside full and its doubtful surroundings left out."""
    rise = ((hair - _STRAY) / (_SURE - _STRAY)).clip(0, 1)
    mask: Plane = rise * rise * (3 - 2 * rise)
    return mask


def as_a_whole(relevance: Plane, regions: Planes) -> NDArray[np.float32]:
    """How far a prompt may change each region all over, [len(REGIONS)] in [0, 1]; arguments as of
    `about`."""
    return _covered(_scores(relevance, regions)[0])


def _scores(relevance: Plane, regions: Planes) -> tuple[NDArray[np.float32], Plane]:
    """How much the map covers each region, [len(REGIONS)] in [0, 1], and the map at their size."""
    where = resized(relevance, (regions.shape[1], regions.shape[2]))
    area = regions.sum((1, 2))
    score: NDArray[np.float32] = np.tensordot(regions, where, 2) / area.clip(1)
    score[area < _SMALLEST * regions[0].size] = 0
    score[[REGIONS.index("background"), REGIONS.index("clothes")]] = 0
    return score, where


def _covered(score: NDArray[np.float32]) -> NDArray[np.float32]:
    # What opens between lips lies in the middle of every map of them, and is no goal of its own.
    most = np.delete(score, _MOUTH).max().clip(1e-6)
    covered: NDArray[np.float32] = ((score / most - _ASIDE) / (_ALL - _ASIDE)).clip(0, 1)
    if _of_hair_alone(score):
        covered[np.arange(len(covered)) != _HAIR] = 0
    return covered


def _of_hair_alone(score: NDArray[np.float32]) -> bool:
    return bool(score[_HAIR] == score.max() and score[REGIONS.index("skin")] < score[_HAIR] / 2)


def nearest(alignment: Alignment, own: Box, others: Sequence[Box], size: int) -> Plane:
    """Which places of a face's square are its own, where it holds a part of other faces too.

    Args:
        alignment: of the face.
        own, others: boxes of the face and of the picture's others.
        size: of the result.

    Returns:
        [size, size] in [0, 1]: 1 where the face is the nearest, in parts of its size, 0 where
        another is; smooth between.
    """
    if not others:
        return np.ones((size, size), np.float32)
    middle = (np.arange(size) + 0.5) / size
    places = alignment.to_picture(np.stack(np.meshgrid(middle, middle), -1))

    def distance(box: Box) -> Plane:
        left, top, right, bottom = box
        centre = ((left + right) / 2, (top + bottom) / 2)
        away = np.hypot(*np.moveaxis(places - centre, -1, 0))
        return np.asarray(away / max(right - left, bottom - top), np.float32)

    other = np.stack([distance(box) for box in others]).min(0)
    return sigmoid((other - distance(own)) / _BORDER)
