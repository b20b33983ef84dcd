"""Looks that are rare among generated faces, painted onto them for training.

Colours are changed in OKLab, where lightness keeps the texture while chroma and hue move; hairs,
lashes and frames are drawn as strokes. Every look varies in colour, shape and strength.
"""

from collections.abc import Callable

import numpy as np
import torch
from PIL import Image, ImageDraw
from torch import Tensor

from recipes.labels.regions import blur, from_oklab, to_oklab
from styleclip_rt.errors import StyleClipError

Regions = dict[str, Tensor]
Random = np.random.Generator
Range = tuple[float, float]

# OKLab lightness, chroma and hue in degrees.
_HAIR: dict[str, tuple[Range, Range, Range]] = {
    "hair_red": ((0.38, 0.54), (0.09, 0.17), (32, 50)),
    "hair_green": ((0.40, 0.62), (0.09, 0.15), (140, 162)),
    "hair_blue": ((0.36, 0.56), (0.09, 0.16), (238, 264)),
    "hair_purple": ((0.36, 0.54), (0.09, 0.16), (298, 318)),
    "hair_pink": ((0.58, 0.74), (0.11, 0.17), (348, 368)),
    "hair_blond": ((0.66, 0.80), (0.065, 0.105), (68, 82)),
    "hair_black": ((0.15, 0.24), (0.00, 0.01), (0, 360)),
    "hair_brown": ((0.30, 0.42), (0.04, 0.06), (52, 66)),
    "hair_grey": ((0.58, 0.76), (0.00, 0.01), (60, 280)),
}
_LIPS: dict[str, tuple[Range, Range, Range]] = {
    "lips_red": ((0.42, 0.55), (0.15, 0.21), (14, 29)),
    "lips_pink": ((0.58, 0.70), (0.10, 0.16), (0, 14)),
    "lips_dark": ((0.26, 0.36), (0.05, 0.10), (-5, 25)),
}
_SHADOW: tuple[tuple[Range, Range, Range], ...] = (
    ((0.22, 0.36), (0.00, 0.02), (0, 360)),
    ((0.28, 0.42), (0.04, 0.07), (30, 60)),
    ((0.30, 0.45), (0.06, 0.11), (290, 330)),
    ((0.30, 0.48), (0.05, 0.10), (230, 265)),
)


def paint(image: Tensor, regions: Regions, look: str, rng: Random) -> Tensor:
    """The face with one of `LOOKS` painted on it.

    Args:
        image: [3,S,S], RGB in [0,1].
        regions: name -> [S,S], this face's entry of each mask of `find_regions`.
        look: one of `LOOKS`.
        rng: where the variation comes from.

    Returns:
        [3,S,S] in [0,1]; the argument is left as it was.

    Raises:
        StyleClipError: the look is unknown.
    """
    if look not in _PAINTERS:
        raise StyleClipError(f"The look {look!r} is unknown; choose one of {', '.join(LOOKS)}.")
    lab = _PAINTERS[look](to_oklab(image), regions, rng)
    return from_oklab(lab).clamp(0, 1)


def _pick(rng: Random, low_high: Range) -> float:
    return float(rng.uniform(*low_high))


def _colour(rng: Random, lch: tuple[Range, Range, Range]) -> Tensor:
    lightness, chroma, hue = (_pick(rng, r) for r in lch)
    angle = np.deg2rad(hue)
    return torch.tensor([lightness, chroma * np.cos(angle), chroma * np.sin(angle)]).float()


def nearest_hair(look: str, colour: Tensor) -> Tensor:
    """The colour [3] in OKLab of the middle half of a hair colour's range that is nearest to one.

    Raises:
        StyleClipError: `look` is no hair colour.
    """
    if look not in _HAIR:
        raise StyleClipError(f"{look!r} is no hair colour; choose one of {', '.join(_HAIR)}.")
    ranges = [(low + (high - low) / 4, high - (high - low) / 4) for low, high in _HAIR[look]]
    (darkest, lightest), (palest, fullest), (first, last) = ranges
    hue = np.rad2deg(np.arctan2(float(colour[2]), float(colour[1])))
    # The turn of the circle that lies nearest to the range.
    hue += 360 * round(((first + last) / 2 - hue) / 360)
    angle = np.deg2rad(np.clip(hue, first, last))
    chroma = np.clip(float(colour[1:].norm()), palest, fullest)
    light = np.clip(float(colour[0]), darkest, lightest)
    return torch.tensor([light, chroma * np.cos(angle), chroma * np.sin(angle)]).float()


def _soft(mask: Tensor, sigma: float) -> Tensor:
    """The mask blurred by `sigma` of a 256 px image's pixels."""
    return blur(mask, sigma * mask.shape[-1] / 256)


def _typical(lab: Tensor, mask: Tensor) -> Tensor:
    """Colour under the mask [3]: median lightness (highlights are few but bright), mean a and b."""
    mean = (lab * mask).sum((1, 2)) / mask.sum().clamp(min=1e-3)
    inside = lab[0][mask > 0.5 * mask.max()]
    return torch.cat([inside.median()[None] if inside.numel() else mean[:1], mean[1:]])


def _blend(lab: Tensor, painted: Tensor, mask: Tensor) -> Tensor:
    return lab + (painted - lab) * mask.clamp(0, 1)


def _recolour(lab: Tensor, mask: Tensor, colour: Tensor, contrast: float, variety: float) -> Tensor:
    """`lab` with the mean colour under `mask` moved to `colour`, its texture kept.

    Chroma follows lightness, so that shadows stay neutral and nothing looks like a flat fill;
    `variety` is how much of the original's colour variation remains.
    """
    mean = _typical(lab, mask)
    light = colour[0] + 0.4 * torch.tanh((lab[0] - mean[0]) * contrast / 0.4)
    # A soft floor: what is darker than black would be becomes a dark texture, not a hole.
    light = 0.04 + torch.nn.functional.softplus((light - 0.04) * 40) / 40
    relative = (light / colour[0]).clamp(0, 1.6) ** 0.7
    fade = ((1.05 - light) / (1.05 - colour[0]).clamp(min=0.1)).clamp(0, 1)
    shade = relative * fade.sqrt()
    ab = colour[1:, None, None] * shade + (lab[1:] - mean[1:, None, None]) * variety
    return torch.cat([light[None], ab])


def _hair(look: str) -> "_Painter":
    def apply(lab: Tensor, regions: Regions, rng: Random) -> Tensor:
        mask = regions["hair"]
        colour = _colour(rng, _HAIR[look])
        mean = _typical(lab, mask)
        contrast = float((colour[0] / mean[0].clamp(min=0.1)).pow(0.75).clamp(0.6, 2.2))
        painted = _recolour(lab, (mask - 0.5).clamp(min=0), colour, contrast, 0.25)
        lab = _blend(lab, painted, mask * _pick(rng, (0.85, 1.0)))
        if look in ("hair_red", "hair_blond", "hair_black", "hair_brown", "hair_grey"):
            brow = colour * torch.tensor([0.75, 0.8, 0.8])
            painted = _recolour(lab, regions["brows"], brow, 1.0, 0.5)
            lab = _blend(lab, painted, regions["brows"] * _pick(rng, (0.2, 0.6)))
        return lab

    return apply


def _lips(look: str) -> "_Painter":
    def apply(lab: Tensor, regions: Regions, rng: Random) -> Tensor:
        mask = regions["lips"]
        painted = _recolour(lab, mask, _colour(rng, _LIPS[look]), _pick(rng, (0.9, 1.2)), 0.2)
        detail = painted[:1] - blur(painted[:1], lab.shape[-1] / 100)
        gloss = torch.cat([detail.clamp(min=0) * _pick(rng, (0.0, 1.5)), torch.zeros_like(lab[1:])])
        return _blend(lab, painted + gloss, mask * _pick(rng, (0.75, 1.0)))

    return apply


def _bare_skin(regions: Regions) -> Tensor:
    """Face, ears and neck, with half-certain places counted as skin up to where hair begins."""
    skin = regions["skin"] + regions["neck"]
    return torch.minimum(skin * 1.8, 1 - regions["hair"] * (1 - regions["face"])).clamp(0, 1)


def _skin_dark(lab: Tensor, regions: Regions, rng: Random) -> Tensor:
    skin = _bare_skin(regions)
    mean = _typical(lab, regions["skin"])
    colour = _colour(rng, ((0.37, 0.52), (0.055, 0.074), (38, 49)))
    ratio = (colour[0] / mean[0]).clamp(max=0.92)
    # Darker pigment leaves the gloss of the surface: highlights fall less than the rest.
    relief = lab[0] - mean[0]
    light = ratio * mean[0] + relief * _pick(rng, (0.75, 0.95)) + relief.clamp(min=0) * 0.25
    light = light.clamp(min=0.08)
    shade = (light / colour[0]).clamp(0.3, 1.4) ** 0.5
    ab = colour[1:, None, None] * shade + (lab[1:] - mean[1:, None, None]) * 0.3
    lab = _blend(lab, torch.cat([light[None], ab]), _soft(skin, 0.7))
    lips = _typical(lab, regions["lips"])
    target = torch.stack([lips[0] * (0.3 + 0.7 * ratio), lips[1] * 0.75, lips[2] * 0.8 + 0.012])
    lab = _blend(lab, _recolour(lab, regions["lips"], target, 0.9, 0.5), regions["lips"] * 0.9)
    brow = torch.tensor([0.2, 0.008, 0.012])
    return _blend(lab, _recolour(lab, regions["brows"], brow, 0.6, 0.3), regions["brows"] * 0.7)


def _skin_pale(lab: Tensor, regions: Regions, rng: Random) -> Tensor:
    colour = _colour(rng, ((0.79, 0.88), (0.018, 0.040), (30, 55)))
    painted = _recolour(lab, regions["skin"], colour, _pick(rng, (0.65, 0.85)), 0.4)
    return _blend(lab, painted, _soft(_bare_skin(regions), 0.7) * _pick(rng, (0.6, 0.95)))


def _freckles(lab: Tensor, regions: Regions, rng: Random) -> Tensor:
    size = lab.shape[-1]
    y, x = _grid(size)
    cheeks = regions["cheeks"]
    cx, cy = (float((cheeks * t).sum() / cheeks.sum().clamp(min=1)) for t in (x, y))
    width = float(regions["face"].sum()) ** 0.5
    spread = torch.exp(-(((x - cx) / (0.36 * width)) ** 2 + ((y - cy) / (0.2 * width)) ** 2))
    everywhere = _pick(rng, (0.02, 0.3))
    density = (regions["skin"] > 0.6) * (spread + everywhere)
    density = density / density.sum().clamp(min=1e-6)
    weights = density.flatten().double().numpy()
    if weights.sum() < 0.5:
        return lab
    count = int(rng.integers(300, 900))
    places = rng.choice(size * size, count, p=weights / weights.sum())
    spots = torch.zeros(size, size)
    for sigma in (0.4, 0.6, 0.85):
        layer = torch.zeros(size * size)
        chosen = torch.from_numpy(rng.choice(places, count // 3))
        layer[chosen] = torch.from_numpy(rng.uniform(0.25, 1.0, count // 3)).float()
        scaled = sigma * size / 256
        spots += blur(layer.view(size, size), scaled) * (2 * np.pi * scaled**2)
    spots = spots.clamp(0, 1) * regions["skin"]
    depth = _pick(rng, (0.09, 0.17))
    change = torch.tensor([-depth, depth * 0.22, depth * 0.2])
    return lab + change[:, None, None] * spots


def _grid(size: int) -> tuple[Tensor, Tensor]:
    axis = torch.arange(size).float()
    y, x = torch.meshgrid(axis, axis, indexing="ij")
    return y, x


def _strokes(
    size: int, starts: np.ndarray, steps: np.ndarray, values: np.ndarray, width: float
) -> tuple[Tensor, Tensor]:
    """Slightly bent lines: coverage and value, each [size,size] in [0,1].

    Args:
        starts, steps: [K,2] in pixels; each line runs from its start by its step.
        values: [K] in [0,1]; later lines lie on top.
        width: in pixels.
    """
    scale = 4
    cover = Image.new("L", (size * scale, size * scale))
    value = Image.new("L", (size * scale, size * scale), 128)
    on_cover, on_value = ImageDraw.Draw(cover), ImageDraw.Draw(value)
    bend = np.stack([-steps[:, 1], steps[:, 0]], 1) * np.sign(steps[:, :1]) * -0.12
    points = np.stack([starts, starts + steps / 2 + bend, starts + steps], 1) * scale
    thick = max(1, round(width * scale))
    for line, shade in zip(points, values, strict=True):
        path = [(float(px), float(py)) for px, py in line]
        on_cover.line(path, fill=255, width=thick)
        on_value.line(path, fill=int(255 * shade), width=thick)
    arrays = [np.asarray(i.resize((size, size), Image.Resampling.BOX)) for i in (cover, value)]
    first, second = (torch.from_numpy(a.astype(np.float32) / 255) for a in arrays)
    return first, second


def _hair_colour(lab: Tensor, regions: Regions, rng: Random) -> Tensor:
    """A colour for painted facial hair: the hair's or the brows', whichever is darker."""
    brows, hair = _typical(lab, regions["brows"]), _typical(lab, regions["hair"])
    colour = brows if brows[0] < hair[0] or regions["hair"].mean() < 0.02 else hair
    light = float(np.clip(float(colour[0]) * rng.uniform(0.6, 0.9), 0.12, 0.5))
    return torch.cat([torch.tensor([light]), colour[1:] * 0.7])


def _grow(
    lab: Tensor, area: Tensor, colour: Tensor, outward: float, length: Range, rng: Random
) -> Tensor:
    """Hairs over `area`: an undercoat and, on top, strokes that run down and outwards."""
    size = lab.shape[-1]
    unit = size / 256
    weights = (area.clamp(0, 1) ** 1.5).flatten().double().numpy()
    if weights.sum() < 1:
        return lab
    middle = float((area.sum(0) * torch.arange(size)).sum() / area.sum())
    half = max(float((area.amax(0) > 0.3).sum()) / 2, 1)
    count = int(min(weights.sum() / unit**2 * 0.9, 4000))
    places = rng.choice(size * size, count, p=weights / weights.sum())
    starts = np.stack([places % size, places // size], 1) + rng.uniform(-1, 1, (count, 2)) * unit
    side = np.clip((starts[:, 0] - middle) / half, -1, 1)
    angle = side * outward + rng.normal(0, 0.3, count)
    reach = rng.uniform(*length, count) * unit
    steps = np.stack([np.sin(angle), np.cos(angle)], 1) * reach[:, None]
    cover, value = _strokes(
        size, starts - steps / 2, steps, rng.uniform(0.1, 0.9, count), 0.55 * unit
    )
    under = _recolour(lab, area, colour, 0.45, 0.2)
    lab = _blend(lab, under, _soft(area, 1.0) * 0.8)
    hairs = torch.cat(
        [
            (colour[0] + (value - 0.55) * 0.3 * (0.4 + colour[0])).clamp(min=0.04)[None],
            colour[1:, None, None].expand(2, size, size),
        ]
    )
    return _blend(lab, hairs, cover * 0.75)


def _moustache(lab: Tensor, regions: Regions, rng: Random) -> Tensor:
    mask = regions["upper_lip"]
    size = mask.shape[-1]
    y, x = _grid(size)
    total = mask.sum().clamp(min=1)
    cx = float((mask * x).sum() / total)
    half = max(float((mask.amax(0) > 0.5).sum()) / 2, 1)
    u = (x - cx) / half
    columns = torch.arange(size).float()[:, None]
    bottom = torch.where(mask > 0.5, columns, torch.tensor(0.0)).amax(0)
    top = torch.where(mask > 0.5, columns, torch.tensor(float(size))).amin(0)
    height = (bottom - top).clamp(min=1)
    v = ((bottom[None] - y) / height[None]).clamp(-2, 2)  # 0 at the lip, 1 below the nose
    thickness = _pick(rng, (0.5, 1.0))
    taper = 1 - _pick(rng, (0.1, 0.6)) * u.abs().clamp(0, 1) ** 2
    parting = 1 - _pick(rng, (0.0, 0.5)) * torch.exp(-((u / 0.08) ** 2))
    shape = torch.sigmoid((thickness * taper * parting - v) * 10)
    reach = torch.sigmoid((_pick(rng, (0.8, 1.05)) - u.abs()) * 14)
    # Hairs hang over the upper lip.
    hanging = _pick(rng, (0.0, 2.5)) * size / 256
    area = torch.maximum(mask, torch.roll(mask, round(hanging), 0) * (1 - regions["eyes"]))
    area = area * shape * reach
    colour = _hair_colour(lab, regions, rng)
    return _grow(lab, area, colour, _pick(rng, (0.5, 1.2)), (4.0, 9.0), rng)


def _beard(lab: Tensor, regions: Regions, rng: Random) -> Tensor:
    size = lab.shape[-1]
    area = torch.maximum(regions["beard"], regions["upper_lip"])
    soft = _soft(area, _pick(rng, (1.5, 4.0)))
    area = (soft * 1.5 - 0.4).clamp(0, 1) * (1 - regions["lips"])
    if rng.random() < 0.3:  # a goatee: only around the mouth and on the chin
        _, x = _grid(size)
        lips = regions["lips"]
        total = lips.sum().clamp(min=1)
        cx = float((lips * x).sum() / total)
        half = float((lips.amax(0) > 0.5).sum()) / 2 * _pick(rng, (0.9, 1.3))
        area = area * torch.sigmoid((half - (x - cx).abs()) / size * 120)
    area = area * _pick(rng, (0.75, 1.0))
    return _grow(lab, area, _hair_colour(lab, regions, rng), 0.5, (3.0, 8.0), rng)


def _eyes(regions: Regions) -> list[np.ndarray]:
    """The pixels [K,2] (x, y) of each eye's opening, left in the image first."""
    points = np.argwhere(regions["eyes"].numpy() > 0.5)[:, ::-1]
    if len(points) < 8:
        return []
    middle = (points[:, 0].min() + points[:, 0].max()) / 2
    return [points[points[:, 0] < middle], points[points[:, 0] >= middle]]


def _lashes_big(lab: Tensor, regions: Regions, rng: Random) -> Tensor:
    size = lab.shape[-1]
    unit = size / 256
    starts, steps = [], []
    length = _pick(rng, (0.2, 0.36))
    for index, eye in enumerate(_eyes(regions)):
        columns = np.unique(eye[:, 0])
        if len(columns) < 5:
            continue
        width = len(columns)
        outer = -1 if index == 0 else 1
        for _ in range(int(rng.integers(16, 30))):
            t = rng.uniform(0, 1)  # 0 at the nose, 1 at the outer corner
            position = round((width - 1) * (1 - t if index == 0 else t))
            column = columns[position]
            top = eye[eye[:, 0] == column][:, 1].min()
            angle = (-0.3 + 1.3 * t) + rng.normal(0, 0.12)
            reach = width * length * (0.55 + 0.45 * t) * rng.uniform(0.7, 1.1)
            starts.append((column + 0.5, top + 0.8))
            steps.append((outer * np.sin(angle) * reach, -np.cos(angle) * reach))
        lower = rng.integers(3, 7)
        for _ in range(int(lower)):
            column = rng.choice(columns)
            bottom = eye[eye[:, 0] == column][:, 1].max()
            starts.append((column + 0.5, bottom + 0.5))
            steps.append((outer * width * 0.04, width * rng.uniform(0.04, 0.09)))
    lab = _liner(lab, regions, _pick(rng, (0.2, 0.7)))
    if not starts:
        return lab
    values = rng.uniform(0.1, 0.4, len(starts))
    cover, _ = _strokes(size, np.array(starts), np.array(steps), values, 0.6 * unit)
    black = torch.tensor([0.13, 0.004, 0.004])[:, None, None].expand_as(lab)
    return _blend(lab, black, cover * 0.92)


def _liner(lab: Tensor, regions: Regions, strength: float) -> Tensor:
    """A dark rim around the eyes, stronger along the upper lid."""
    eyes = regions["eyes"]
    radius = max(1, round(1.4 * eyes.shape[-1] / 256))
    grown = torch.nn.functional.max_pool2d(eyes[None, None], 2 * radius + 1, 1, radius)[0, 0]
    shrunk = -torch.nn.functional.max_pool2d(-eyes[None, None], 3, 1, 1)[0, 0]
    rim = (grown - shrunk).clamp(0, 1)
    upper = torch.roll(eyes, -radius, 0) > eyes
    weight = rim * torch.where(upper, 1.0, 0.55)
    mask = torch.maximum(_soft(weight, 0.6), regions["lashes"] * 0.7)
    black = torch.tensor([0.14, 0.004, 0.002])[:, None, None].expand_as(lab)
    return _blend(lab, black, mask * strength)


def _makeup_heavy(lab: Tensor, regions: Regions, rng: Random) -> Tensor:
    smooth = blur(lab, lab.shape[-1] / 150)
    lab = _blend(lab, smooth, regions["skin"] * _pick(rng, (0.2, 0.6)))
    shadow = _colour(rng, _SHADOW[int(rng.integers(len(_SHADOW)))])
    lids = _soft(regions["eyelids"], 1.5) * (1 - regions["eyes"])
    painted = _recolour(lab, regions["eyelids"], shadow, 0.8, 0.3)
    lab = _blend(lab, painted, lids * _pick(rng, (0.55, 0.85)))
    blush = _soft(regions["cheeks"], 5) * regions["skin"] * _pick(rng, (0.3, 1.0))
    lab = lab + torch.tensor([-0.02, 0.035, 0.01])[:, None, None] * blush
    look = str(rng.choice(list(_LIPS), p=[0.5, 0.3, 0.2]))
    lab = _lips(look)(lab, regions, rng)
    brows = _typical(lab, regions["brows"]) * torch.tensor([0.75, 1.0, 1.0])
    lab = _blend(lab, _recolour(lab, regions["brows"], brows, 0.8, 0.8), regions["brows"] * 0.8)
    return _lashes_big(lab, regions, rng)


def _glasses(lab: Tensor, regions: Regions, rng: Random) -> Tensor:
    size = lab.shape[-1]
    eyes = _eyes(regions)
    if len(eyes) < 2 or min(len(eye) for eye in eyes) < 4:
        return lab
    left, right = (eye.mean(0) for eye in eyes)
    across = right - left
    apart = float(np.linalg.norm(across))
    across = across / apart
    down = np.array([-across[1], across[0]])
    half_width = apart * rng.uniform(0.36, 0.44)
    half_height = half_width * rng.uniform(0.55, 0.95)
    power = rng.uniform(2.0, 4.5)  # of the superellipse: round to rectangular
    t = np.linspace(0, 2 * np.pi, 72)
    rim = np.stack(
        [
            np.sign(np.cos(t)) * np.abs(np.cos(t)) ** (2 / power) * half_width,
            np.sign(np.sin(t)) * np.abs(np.sin(t)) ** (2 / power) * half_height,
        ],
        1,
    )
    drop = down * apart * 0.05
    axes = np.stack([across, down])
    lenses = [centre + drop + rim @ axes for centre in (left, right)]
    bridge_start = left + drop + across * half_width - down * half_height * 0.25
    bridge_end = right + drop - across * half_width - down * half_height * 0.25
    bridge = [bridge_start, (bridge_start + bridge_end) / 2 - down * apart * 0.05, bridge_end]
    sides = np.argwhere(regions["face"].numpy() > 0.5)[:, ::-1]
    along = (sides - (left + right) / 2) @ across
    arms = [
        [left + drop - across * half_width - down * half_height * 0.3],
        [right + drop + across * half_width - down * half_height * 0.3],
    ]
    middle = (left + right) / 2 - down * half_height * 0.3
    arms[0].append(middle + across * min(along.min(), -apart * 0.95))
    arms[1].append(middle + across * max(along.max(), apart * 0.95))

    scale = 4
    frame = Image.new("L", (size * scale, size * scale))
    glass = Image.new("L", (size * scale, size * scale))
    draw, draw_glass = ImageDraw.Draw(frame), ImageDraw.Draw(glass)
    thick = max(2, round(apart * rng.uniform(0.02, 0.085) * scale))

    def path(points: np.ndarray | list[np.ndarray]) -> list[tuple[float, float]]:
        return [(float(px) * scale, float(py) * scale) for px, py in points]

    for lens in lenses:
        closed = path(lens)
        draw.line([*closed, *closed[:2]], fill=255, width=thick, joint="curve")
        draw_glass.polygon(closed, fill=255)
    draw.line(path(bridge), fill=255, width=max(2, round(thick * 0.8)), joint="curve")
    for arm in arms:
        draw.line(path(arm), fill=255, width=max(2, round(thick * 0.8)))
    masks = [np.asarray(i.resize((size, size), Image.Resampling.BOX)) for i in (frame, glass)]
    rims, lens_mask = (torch.from_numpy(m.astype(np.float32) / 255) for m in masks)
    kinds: tuple[tuple[Range, Range, Range], ...] = (
        ((0.12, 0.22), (0.00, 0.01), (0, 360)),
        ((0.12, 0.20), (0.00, 0.01), (0, 360)),
        ((0.28, 0.38), (0.04, 0.07), (45, 65)),
        ((0.50, 0.70), (0.00, 0.02), (60, 90)),
        ((0.35, 0.45), (0.10, 0.15), (15, 30)),
        ((0.30, 0.40), (0.06, 0.10), (255, 270)),
    )
    colour = _colour(rng, kinds[int(rng.integers(len(kinds)))])
    shadow = torch.roll(_soft(rims, 1.5), max(1, round(size / 128)), 0) * regions["face"]
    lab = lab * (1 - 0.25 * shadow)
    tint = _pick(rng, (0.0, 0.12))
    lab = torch.cat([lab[:1] * (1 - tint * lens_mask), lab[1:]])
    y, _ = _grid(size)
    light = colour[0] + 0.08 * torch.sin(y / size * 60 + _pick(rng, (0, 6)))
    painted = torch.cat([light[None], colour[1:, None, None].expand(2, size, size)])
    return _blend(lab, painted, rims * 0.97)


_Painter = Callable[[Tensor, Regions, Random], Tensor]

_PAINTERS: dict[str, _Painter] = {
    **{look: _hair(look) for look in _HAIR},
    **{look: _lips(look) for look in _LIPS},
    "freckles": _freckles,
    "moustache": _moustache,
    "beard": _beard,
    "makeup_heavy": _makeup_heavy,
    "lashes_big": _lashes_big,
    "skin_dark": _skin_dark,
    "skin_pale": _skin_pale,
    "glasses": _glasses,
}
LOOKS = tuple(_PAINTERS)
