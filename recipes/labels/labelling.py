"""Make FaceCLIP's training set: draw faces, measure them, paint rare looks, say what is true.

A fact is called true or false only where a measure is far enough from the boundary; between, it is
unknown and no caption about it is learnt from.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F
from tqdm import tqdm

from recipes.labels.attributes import measure
from recipes.labels.captions import HAIR_COLOURS, PHRASES
from recipes.labels.painting import paint
from recipes.labels.regions import find_regions
from recipes.labels.teachers import Teachers
from styleclip_rt.editing.spaces import Whitening
from styleclip_rt.models.generator import Generator, fold, unfold

ATTRIBUTES = tuple(PHRASES)
DRAW_SIZE = 256
STORE_SIZE = 112
_CHUNK = 16

# look -> attribute -> what painting it makes true (1), false (0) or doubtful (-1).
_OTHER_HAIR = {f"hair_{colour}": 0 for colour in HAIR_COLOURS}
PAINTED: Mapping[str, Mapping[str, int]] = {
    **{f"hair_{c}": {**_OTHER_HAIR, f"hair_{c}": 1} for c in HAIR_COLOURS},
    "lips_red": {"lips_red": 1, "lips_pale": 0, "no_makeup": 0},
    "lips_pink": {"lips_red": -1, "lips_pale": 0, "no_makeup": 0},
    "lips_dark": {"lips_red": 0, "lips_pale": 0, "no_makeup": 0},
    "skin_dark": {"skin_dark": 1, "skin_pale": 0, "freckles": 0},
    "skin_pale": {"skin_dark": 0, "skin_pale": 1},
    "freckles": {"freckles": 1},
    "moustache": {"moustache": 1, "shaven": 0},
    "beard": {"beard": 1, "shaven": 0, "moustache": -1},
    "lashes_big": {"lashes": 1},
    "makeup_heavy": {"makeup": 1, "no_makeup": 0, "lashes": -1, "lips_red": -1, "lips_pale": 0},
    "glasses": {"glasses": 1},
}
# How often each look is painted, relative to one.
_LOOK_WEIGHT = {"lips_red": 4.0, "moustache": 3.0, "freckles": 2.5, "makeup_heavy": 2.5} | {
    "lashes_big": 2.5,
    "hair_red": 2.0,
    "hair_blond": 2.0,
    "skin_dark": 1.0,
    "beard": 1.0,
    "glasses": 1.0,
}


def pushed_latents(
    generator: Generator,
    w: Tensor,
    measures: Mapping[str, np.ndarray],
    goals: Sequence[tuple[str, float]],
    seed: int,
) -> Tensor:
    """Faces with naturally rare looks: random faces moved along what predicts a measure.

    A ridge regression from whitened w to each measure gives a direction; moving a fresh face along
    it draws, say, naturally dark skin, which is better than any painted one.

    Args:
        w: [N, latent_dim] of measured faces.
        measures: name -> [N].
        goals: one a new face: a measure and how far to go, in standard deviations of w.
        seed: of the fresh faces.

    Returns:
        w [len(goals), latent_dim].
    """
    whitening = Whitening(generator)
    inverse = torch.linalg.inv(whitening.axes)
    centre = unfold(generator.mean_latent)
    x = (unfold(w) - centre) @ inverse
    random = torch.Generator().manual_seed(seed)
    z = torch.randn(len(goals), generator.latent_dim, generator=random)
    psi = 0.5 + 0.3 * torch.rand(len(goals), 1, generator=random)
    with torch.no_grad():
        fresh = generator.mean_latent + psi * (generator.mapping(z) - generator.mean_latent)
    code = (unfold(fresh) - centre) @ inverse
    gram = x.T @ x + 0.5 * len(x) * torch.eye(x.shape[1])
    for i, (name, distance) in enumerate(goals):
        values = torch.from_numpy(np.asarray(measures[name], dtype=np.float32))
        values = (values - values.mean()) / values.std()
        direction = F.normalize(torch.linalg.solve(gram, x.T @ values), dim=0)
        code[i] += distance * direction
    return fold(centre + code @ whitening.axes)


def measure_faces(images: np.ndarray, teachers: Teachers) -> dict[str, np.ndarray]:
    """Every measure of `attributes.measure`, plus `landmarks` [N, 468, 2] and `identity` [N, D].

    images: uint8 [N, H, W, 3].
    """
    parts: list[dict[str, Tensor]] = []
    for first in tqdm(range(0, len(images), _CHUNK), desc="measuring faces", unit="batch"):
        x = _to_float(images[first : first + _CHUNK])
        landmarks = teachers.landmarks(x)
        age, male, identity = teachers.describe(x, landmarks)
        regions = find_regions(x, landmarks, teachers.person(x))
        values = measure(x, landmarks, regions, age, male, teachers.emotion(x, landmarks))
        parts.append({**values, "landmarks": landmarks, "identity": identity})
    return {key: torch.cat([part[key] for part in parts]).numpy() for key in parts[0]}


def natural_truth(m: Mapping[str, np.ndarray], reference: Mapping[str, np.ndarray]) -> np.ndarray:
    """What is true of unpainted faces: int8 [N, len(ATTRIBUTES)] of 1, 0, -1 (unknown).

    Where a measure has no natural unit, "much" means much among `reference`: the measures of faces
    that were not pushed towards anything.
    """
    count = len(m["age"])
    truth = np.full((count, len(ATTRIBUTES)), -1, np.int8)

    def say(name: str, true: np.ndarray, false: np.ndarray) -> None:
        column = ATTRIBUTES.index(name)
        truth[false, column] = 0
        truth[true, column] = 1

    def quantile(name: str, q: float) -> float:
        return float(np.quantile(reference[name], q))

    hair = m["hair_area"] > 0.25
    lightness, chroma, hue = m["hair_lightness"], m["hair_chroma"], m["hair_hue"]
    say("hair_black", hair & (lightness < 0.27) & (chroma < 0.035), lightness > 0.36)
    brown = (lightness > 0.28) & (lightness < 0.46) & (chroma > 0.025) & (chroma < 0.075)
    say("hair_brown", hair & brown & (hue > 40), (lightness > 0.58) | (lightness < 0.22))
    blond = (lightness > 0.52) & (chroma > 0.04) & (hue > 58)
    say("hair_blond", hair & blond, (lightness < 0.42) | (chroma < 0.02) | (hue < 45))
    red = (chroma > 0.075) & (hue > 20) & (hue < 58) & (lightness < 0.6)
    say("hair_red", hair & red, (chroma < 0.055) | (hue > 68))
    grey = (lightness > 0.45) & (chroma < 0.025)
    say("hair_grey", hair & grey & (m["age"] > 40), (lightness < 0.38) | (chroma > 0.05))
    for colour, low, high in (("green", 110, 180), ("blue", 200, 280), ("purple", 280, 330)):
        vivid = (chroma > 0.07) & (hue % 360 > low) & (hue % 360 < high)
        say(f"hair_{colour}", hair & vivid, ~vivid | (chroma < 0.04))
    say("hair_pink", hair & False, (chroma < 0.06) | ((hue > 40) & (hue < 300)))
    curl_low, curl_high = quantile("curl", 0.4), quantile("curl", 0.86)
    enough = hair & (m["hair_area"] > 0.3)
    say("hair_curly", enough & (m["curl"] > curl_high), m["curl"] < curl_low)
    say("hair_straight", enough & (m["curl"] < curl_low), m["curl"] > curl_high)
    below = m["hair_below_chin"]
    say("hair_long", below > 0.12, below < 0.03)
    say("hair_short", (below < 0.02) & (m["hair_area"] < 0.75), below > 0.08)
    say("bald", m["hair_area"] < 0.2, m["hair_area"] > 0.4)

    lips_high, lips_low = quantile("lip_redness", 0.97), quantile("lip_redness", 0.7)
    say("lips_red", (m["lip_redness"] > max(lips_high, 0.07)), m["lip_redness"] < lips_low)
    say("lips_pale", m["lip_redness"] < quantile("lip_redness", 0.4), m["lip_redness"] > 0.05)
    say("skin_dark", m["skin_ita"] < -5, m["skin_ita"] > 20)
    say("skin_pale", m["skin_ita"] > quantile("skin_ita", 0.9), m["skin_ita"] < 38)
    say("freckles", m["freckles"] < -1, m["freckles"] < quantile("freckles", 0.8))
    woman, man = m["male"] < 0.25, m["male"] > 0.75
    made_up = quantile("lash_darkness", 0.85)
    say("makeup", woman & (m["lash_darkness"] > made_up) & (m["lip_redness"] > 0.05), man)
    say("no_makeup", man, woman & (m["lash_darkness"] > made_up))
    lash_low = quantile("lash_darkness", 0.75)
    say("lashes", woman & (m["lash_darkness"] > made_up), m["lash_darkness"] < lash_low)
    adult_man = man & (m["age"] > 22)
    tex, dark = m["moustache_texture"], m["moustache_darkness"]
    say(
        "moustache",
        adult_man
        & (dark > quantile("moustache_darkness", 0.93))
        & (tex > quantile("moustache_texture", 0.85)),
        woman | (dark < quantile("moustache_darkness", 0.6)),
    )
    beard_dark, beard_tex = m["beard_darkness"], m["beard_texture"]
    bearded = (beard_dark > quantile("beard_darkness", 0.9)) & (
        beard_tex > quantile("beard_texture", 0.85)
    )
    smooth = (beard_dark < quantile("beard_darkness", 0.6)) | woman
    say("beard", adult_man & bearded, smooth)
    say("shaven", smooth & man & (dark < quantile("moustache_darkness", 0.6)), adult_man & bearded)
    say(
        "glasses",
        m["glasses"] > quantile("glasses", 0.95),
        m["glasses"] < quantile("glasses", 0.75),
    )
    smile_low, smile_high = quantile("smile", 0.3), quantile("smile", 0.5)
    say("smiling", m["smile"] > smile_high, m["smile"] < smile_low)
    say("serious", m["smile"] < smile_low, m["smile"] > smile_high)
    say("old", m["age"] > 50, m["age"] < 38)
    say("young", (m["age"] < 29) & (m["age"] > 12), m["age"] > 40)
    say("child", m["age"] < 11, m["age"] > 22)
    say("man", man, woman)
    say("woman", woman, man)
    return truth


def paint_variants(
    images: np.ndarray,
    landmarks: np.ndarray,
    truth: np.ndarray,
    teachers: Teachers,
    variants: int,
    folder: Path,
    seed: int = 0,
) -> None:
    """Write the training set: each face as it is, and `variants` times with painted looks on it.

    Writes `images.npy` uint8 [V, 112, 112, 3], `truth.npy` int8 and `face.npy` int64 to `folder`.
    """
    folder.mkdir(parents=True, exist_ok=True)
    total = len(images) * (variants + 1)
    out = np.lib.format.open_memmap(
        folder / "images.npy", "w+", np.uint8, (total, STORE_SIZE, STORE_SIZE, 3)
    )
    labels = np.empty((total, len(ATTRIBUTES)), np.int8)
    looks = sorted(PAINTED)
    weights = np.array([_LOOK_WEIGHT.get(look, 1.2) for look in looks])
    weights /= weights.sum()
    row = 0
    for first in tqdm(range(0, len(images), _CHUNK), desc="painting looks", unit="batch"):
        x = _to_float(images[first : first + _CHUNK])
        points = torch.from_numpy(landmarks[first : first + _CHUNK])
        regions = find_regions(x, points, teachers.person(x))
        for i, image in enumerate(x):
            rng = np.random.default_rng((seed, first + i))
            mine = {name: mask[i] for name, mask in regions.items()}
            for variant in range(variants + 1):
                label = truth[first + i].copy()
                painted = image
                if variant:
                    count = 1 if rng.random() < 0.7 else 2
                    for look in rng.choice(looks, count, replace=False, p=weights):
                        painted = paint(painted, mine, str(look), rng)
                        for name, value in PAINTED[str(look)].items():
                            label[ATTRIBUTES.index(name)] = value
                small = F.interpolate(painted[None], (STORE_SIZE, STORE_SIZE), mode="area")
                pixels = (small[0].permute(1, 2, 0) * 255 + 0.5).clamp(0, 255)
                out[row] = pixels.to(torch.uint8).numpy()
                labels[row] = label
                row += 1
    out.flush()
    np.save(folder / "truth.npy", labels)
    np.save(folder / "face.npy", np.repeat(np.arange(len(images)), variants + 1))


def _to_float(images: np.ndarray) -> Tensor:
    return torch.from_numpy(np.ascontiguousarray(images)).permute(0, 3, 1, 2).float() / 255
