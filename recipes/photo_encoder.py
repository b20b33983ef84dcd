"""`python -m recipes photo-encoder`: fit the encoder that inversions of photographs start from.

This does not reproduce the bytes of the file that ships, for which 1,000 of the 9,500 faces were
of one w each, drawn at 512 px and averaged down; the method is the same.

Faces of the default generator, drawn as drafts, look like phone pictures by `phone_pictures`; ridge
regression in closed form leads from their thumbnails to their latents before the mapping network's
last leaky ReLU, and its singular vectors make it small (reduced-rank regression, Izenman 1975).
"""

from pathlib import Path

import click
import numpy as np
import torch
from safetensors.torch import save_file
from torch import Tensor
from tqdm import tqdm

from recipes import options
from recipes.inputs import default_generator
from recipes.phone_pictures import phone_picture
from recipes.report import Report
from styleclip_rt.editing.spaces import Whitening
from styleclip_rt.files import replacing
from styleclip_rt.models.generator import Generator, fingerprint, fold, unfold
from styleclip_rt.ops.area_resample import area_resample
from styleclip_rt.photos.encoder import SIDE, PhotoEncoder, state_of

CHUNK, DRAFT, HELD_OUT = 250, 128, 1
RANK, RIDGE = 128, 0.25


@click.command("photo-encoder")
@options.out("photo-encoder")
@click.option("--faces", type=click.IntRange(2 * CHUNK), default=9750, show_default=True)
def recipe(out: Path, faces: int) -> None:
    """Fit the encoder of photographs; run again to continue after an interruption."""
    report = Report()
    generator = default_generator()
    whitening = Whitening(generator)
    out.mkdir(parents=True, exist_ok=True)
    thumbnails, latents = [], []
    for chunk in tqdm(range(faces // CHUNK), desc="drawing faces", unit=f"{CHUNK} faces"):
        unfolded = sample_unfolded(generator, whitening, CHUNK, chunk)
        thumbnails.append(drawn(generator, unfolded, chunk, out / f"thumbnails-{chunk:04d}.npy"))
        latents.append(unfolded)
    seen, known = torch.cat(thumbnails[:-HELD_OUT]), torch.cat(latents[:-HELD_OUT])
    encoder = fit(seen, known)
    explained = share_explained(encoder, thumbnails[-1], latents[-1])
    path = out / "photo_encoder.safetensors"
    with replacing(path) as temporary:
        save_file(state_of(encoder), temporary, {"generator": fingerprint(generator)})
    report.made(
        path,
        source=f"{len(seen)} faces of ffhq-mobile and {CHUNK * HELD_OUT} to judge by",
        figures={"share of the latents' variance explained": explained},
    )


def sample_unfolded(generator: Generator, whitening: Whitening, count: int, seed: int) -> Tensor:
    """Unfolded w+ [count, n_latent, latent_dim]: truncation 0.5 to 1, mixed from two faces, with
    small offsets of each row, since photographs are inverted beyond w."""
    random = torch.Generator().manual_seed(seed)
    rows, dim = generator.n_latent, generator.latent_dim
    z = torch.randn(2, count, dim, generator=random)
    psi = 0.5 + 0.5 * torch.rand(2, count, 1, generator=random)
    mean, middle = generator.mean_latent, unfold(generator.mean_latent)
    with torch.no_grad():
        w = mean + psi * (generator.mapping(z.reshape(-1, dim)).view(2, count, dim) - mean)
    one, other = ((unfold(w) - middle) @ whitening.inverse)[:, :, None]
    # A third are of one w, a third have the later rows of another, a third lean to it by rows.
    kind = torch.rand(count, 1, 1, generator=random)
    row = torch.randint(1, rows, (count, 1, 1), generator=random)
    later = (torch.arange(rows)[None, :, None] >= row).float()
    lean = torch.rand(count, rows, 1, generator=random).square() * 0.6
    share = torch.where(kind < 1 / 3, 0.0, torch.where(kind < 2 / 3, later, lean))
    free = 0.25 * torch.rand(count, 1, 1, generator=random).square()
    noise = torch.randn(count, rows, dim, generator=random)
    mixed = torch.lerp(one.expand(-1, rows, -1), other.expand(-1, rows, -1), share)
    unfolded: Tensor = middle + (mixed + free * noise) @ whitening.axes
    return unfolded


def drawn(generator: Generator, unfolded: Tensor, chunk: int, path: Path) -> Tensor:
    """Thumbnails [N, 3 * SIDE**2] of the faces as phone pictures; kept in `path`."""
    if path.exists():
        return torch.from_numpy(np.load(path))
    thumbnails = []
    for i, row in enumerate(torch.split(fold(unfolded), 1)):
        with torch.inference_mode():
            face = generator.synthesis(row, DRAFT)[0] * 0.5 + 0.5
        random = torch.Generator().manual_seed(1000 * chunk + i)
        thumbnails.append(area_resample(phone_picture(face, random)[None], SIDE).flatten(1))
    seen = torch.cat(thumbnails)
    with replacing(path) as temporary, temporary.open("wb") as file:
        np.save(file, seen.numpy())
    return seen


def fit(
    thumbnails: Tensor, unfolded: Tensor, rank: int = RANK, ridge: float = RIDGE
) -> PhotoEncoder:
    """Ridge regression from thumbnails [N, 3 * SIDE**2] to [N, n_latent, latent_dim], of a rank."""
    torch.manual_seed(0)
    rows, dim = unfolded.shape[1:]
    inputs, targets = thumbnails.mean(0), unfolded.flatten(1).mean(0)
    scale = float(thumbnails.std()) * thumbnails.shape[1] ** 0.5
    x, y = (thumbnails - inputs) / scale, unfolded.flatten(1) - targets
    weights = torch.linalg.solve(x.T @ x + ridge * torch.eye(x.shape[1]), x.T @ y)
    left, strength, right = torch.svd_lowrank(x @ weights, q=rank + 32, niter=3)
    del left
    basis = right[:, :rank]
    # Numbers of about one, which half precision keeps.
    unit = strength[:rank] / len(x) ** 0.5
    encoder = PhotoEncoder(rank, rows, dim).requires_grad_(False)
    encoder.reduce.weight.copy_((weights @ basis / unit / scale).T)
    encoder.reduce.bias.copy_(-encoder.reduce.weight @ inputs)
    encoder.expand.weight.copy_(basis * unit)
    encoder.expand.bias.copy_(targets)
    return encoder


def share_explained(encoder: PhotoEncoder, thumbnails: Tensor, unfolded: Tensor) -> float:
    """Of the unfolded latents' variance about their mean."""
    guessed = unfold(encoder(thumbnails.view(-1, 3, SIDE, SIDE)))
    left = (guessed - unfolded).square().sum()
    return 1 - float(left / (unfolded - unfolded.mean(0)).square().sum())
