"""The training set of FaceCLIP and FaceID, from the generator and the label models alone.

Stages leave files in one folder and are skipped where these exist, so a run that was stopped goes
on with the stage that it was in: `random.npy`, `random_measures.npz`, `pushed.npy`,
`pushed_measures.npz`, then `images.npy`, `truth.npy`, `face.npy` and `identity.npy`.
"""

from pathlib import Path

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F
from tqdm import tqdm

from recipes.labels.labelling import (
    DRAW_SIZE,
    measure_faces,
    natural_truth,
    paint_variants,
    pushed_latents,
)
from recipes.labels.teachers import Teachers
from styleclip_rt.files import replacing
from styleclip_rt.models.mobile_stylegan import MobileStyleGAN

# measure -> (direction, share of the pushed faces): looks that are rare at random.
GOALS: tuple[tuple[str, int, int], ...] = (
    ("skin_ita", -1, 170),
    ("skin_ita", 1, 40),
    ("age", 1, 100),
    ("age", -1, 40),
    ("smile", 1, 50),
    ("smile", -1, 60),
    ("male", 1, 40),
    ("male", -1, 40),
    ("moustache_texture", 1, 90),
    ("moustache_darkness", 1, 60),
    ("moustache_darkness", -1, 20),
    ("beard_darkness", 1, 60),
    ("hair_lightness", 1, 60),
    ("hair_chroma", 1, 100),
    ("hair_hue", -1, 30),
    ("hair_area", -1, 50),
    ("hair_below_chin", 1, 30),
    ("curl", 1, 90),
    ("glasses", 1, 60),
    ("lash_darkness", 1, 50),
    ("lip_redness", 1, 90),
    ("freckles", 1, 60),
)


def prepare_faces(
    generator: MobileStyleGAN,
    teachers: Teachers,
    folder: Path,
    random_faces: int = 1200,
    pushed_faces: int = 1390,
    variants: int = 3,
    seed: int = 0,
) -> None:
    """Draw, measure, label and paint; afterwards `LabelledFaces.load(folder)` reads the set.

    Args:
        generator: with draft heads: the random faces are drawn at full size and reduced, the
            pushed ones as drafts, since the editing loop shows FaceCLIP drafts.
        random_faces: drawn at random, truncation 0.5 to 1.
        pushed_faces: moved towards one of `GOALS`.
        variants: painted copies of each face.
    """
    folder.mkdir(parents=True, exist_ok=True)
    w = random_w(generator, random_faces, seed)
    images = draw_faces(generator, w, generator.resolution, folder / "random.npy")
    measures = measure_once(images, teachers, folder / "random_measures.npz")
    goals = _goals(pushed_faces, seed)
    pushed = pushed_latents(generator, w, measures, goals, seed + 1)
    pushed_images = draw_faces(generator, pushed, DRAW_SIZE, folder / "pushed.npy")
    pushed_measures = measure_once(pushed_images, teachers, folder / "pushed_measures.npz")
    if (folder / "face.npy").exists():
        return
    order = np.random.default_rng(seed).permutation(random_faces + pushed_faces)
    together = {k: np.concatenate([v, pushed_measures[k]])[order] for k, v in measures.items()}
    truth = natural_truth(together, measures)
    everyone = np.concatenate([images, pushed_images])[order]
    np.save(folder / "identity.npy", together["identity"])
    paint_variants(everyone, together["landmarks"], truth, teachers, variants, folder, seed)


def random_w(generator: MobileStyleGAN, count: int, seed: int) -> Tensor:
    """w [count, latent_dim] at truncation 0.5 to 1."""
    random = torch.Generator().manual_seed(seed)
    z = torch.randn(count, generator.latent_dim, generator=random)
    psi = 0.5 + 0.5 * torch.rand(count, 1, generator=random)
    with torch.no_grad():
        return generator.mean_latent + psi * (generator.mapping(z) - generator.mean_latent)


def _goals(count: int, seed: int) -> list[tuple[str, float]]:
    rng = np.random.default_rng(seed)
    shares = np.array([share for _, _, share in GOALS], dtype=float)
    chosen = rng.choice(len(GOALS), count, p=shares / shares.sum())
    return [(GOALS[i][0], GOALS[i][1] * float(rng.uniform(2.5, 6.5))) for i in chosen]


def draw_faces(generator: MobileStyleGAN, w: Tensor, resolution: int, path: Path) -> np.ndarray:
    """uint8 [N, DRAW_SIZE, DRAW_SIZE, 3], drawn at `resolution` and reduced by area."""
    if path.exists():
        stored: np.ndarray = np.load(path)
        return stored
    images: np.ndarray = np.empty((len(w), DRAW_SIZE, DRAW_SIZE, 3), np.uint8)
    with torch.inference_mode():
        for i in tqdm(range(len(w)), desc="drawing faces", unit="face"):
            image = generator.synthesis(w[i : i + 1], resolution)
            image = F.avg_pool2d(image, resolution // DRAW_SIZE)[0]
            pixels = ((image + 1) * 127.5 + 0.5).clamp(0, 255).to(torch.uint8)
            images[i] = pixels.permute(1, 2, 0).numpy()
    with replacing(path) as temporary:
        np.save(temporary, images)
    return images


def measure_once(images: np.ndarray, teachers: Teachers, path: Path) -> dict[str, np.ndarray]:
    """What `labelling.measure_faces` returns, kept in `path` and read from there the next time."""
    if not path.exists():
        measures = measure_faces(images, teachers)
        with replacing(path) as temporary:
            np.savez(temporary, **measures)  # type: ignore[arg-type]
    with np.load(path) as stored:
        return dict(stored)
