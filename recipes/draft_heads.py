"""`python -m recipes draft-heads`: fit the draft heads of the default generator to its own images.

This does not reproduce the file that ships, whose heads come a little nearer (1.1 and 0.3 dB, see
README.md): how many steps they took is not recorded.

The distilled network has no image below half its size. A head of some 20,000 weights a resolution
turns the features of that resolution into RGB; it is fitted by regression on faces of the generator
itself, so nothing but its weights is needed.
"""

import math
from dataclasses import replace
from pathlib import Path

import click
import torch
from torch import Tensor
from torch.nn import functional as F
from tqdm import tqdm

from recipes import options
from recipes.inputs import default_generator
from recipes.report import Report
from styleclip_rt.checkpoints import draft_heads
from styleclip_rt.models.mobile_stylegan import MobileStyleGAN, MobileStyleGANConfig

CROP = 64
HELD_OUT = 16


@click.command("draft-heads")
@options.out("draft-heads")
@click.option("--faces", type=click.IntRange(1), default=60, show_default=True)
@options.steps(700)
@options.seed
def recipe(out: Path, faces: int, steps: int, seed: int) -> None:
    """Fit the draft heads of the default generator to its own reduced images."""
    report = Report()
    generator = with_draft_heads(default_generator())
    out.mkdir(parents=True, exist_ok=True)
    psnr = fit_draft_heads(generator, faces, steps, seed)
    path = out / "draft_head.safetensors"
    draft_heads.save(generator, path)
    report.made(
        path,
        source=f"{faces} faces of ffhq-mobile and {HELD_OUT} to judge by, {steps} steps a head, "
        f"seed {seed}",
        figures={f"PSNR at {size} px": value for size, value in psnr.items()},
    )


def sample_w_plus(generator: MobileStyleGAN, count: int, seed: int) -> Tensor:
    """w+ [count, n_latent, latent_dim]: truncation 0.5..1, every other one a mix of two faces, so
    that heads and labels also hold where an edit has moved only some rows."""
    random = torch.Generator().manual_seed(seed)
    z = torch.randn(2 * count, generator.latent_dim, generator=random)
    psi = 0.5 + 0.5 * torch.rand(2 * count, 1, generator=random)
    with torch.no_grad():
        mean = generator.mean_latent
        w = mean + psi * (generator.mapping(z) - mean)
    w_plus = w[:count, None].repeat(1, generator.n_latent, 1)
    for i in range(0, count, 2):
        row = int(torch.randint(1, generator.n_latent, (), generator=random))
        w_plus[i, row:] = w[count + i]
    return w_plus


def with_draft_heads(
    generator: MobileStyleGAN, resolutions: tuple[int, ...] = (256, 128)
) -> MobileStyleGAN:
    """The same generator with fresh, unfitted heads."""
    config: MobileStyleGANConfig = replace(generator.config, draft_resolutions=resolutions)
    model = MobileStyleGAN(config)
    state = {k: v for k, v in generator.state_dict().items() if not k.startswith("draft_heads.")}
    model.load_state_dict({**model.state_dict(), **state})
    return model.eval()


def fit_draft_heads(
    generator: MobileStyleGAN, faces: int, steps: int, seed: int = 0
) -> dict[int, float]:
    """Fit every draft head in place.

    Returns:
        PSNR in dB (on the range [-1, 1]) of each head on HELD_OUT other faces.
    """
    torch.manual_seed(seed)
    w_plus = sample_w_plus(generator, faces + HELD_OUT, seed)
    sizes = generator.config.draft_resolutions
    features: dict[int, list[Tensor]] = {size: [] for size in sizes}
    targets: dict[int, list[Tensor]] = {size: [] for size in sizes}
    with torch.inference_mode():
        for row in tqdm(w_plus, desc="drawing faces", unit="face"):
            styles = generator.styles(row[None])
            image = generator.synthesis(styles, generator.resolution // 2)
            for size in sizes:
                features[size].append(generator.features(styles, size).half())
                targets[size].append(F.avg_pool2d(image, image.shape[-1] // size))
    psnr = {}
    styles = [style.clone() for style in generator.styles(w_plus)]
    for size in sizes:
        psnr[size] = _fit_head(generator, size, features[size], targets[size], styles, faces, steps)
    return psnr


def _fit_head(
    generator: MobileStyleGAN,
    size: int,
    features: list[Tensor],
    targets: list[Tensor],
    styles: list[Tensor],
    faces: int,
    steps: int,
) -> float:
    head = generator.draft_heads[str(size)].requires_grad_(True)
    up = styles[3 * (size.bit_length() - 3) + 1]
    optimiser = torch.optim.Adam(head.parameters(), lr=3e-3)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimiser, 1e-2, total_steps=steps)
    bar = tqdm(range(steps), desc=f"fitting {size} px", unit="step")
    for _ in bar:
        chosen = torch.randint(faces, (8,))
        top, left = (int(i) for i in torch.randint(size - CROP + 1, (2,)))
        window = (..., slice(top, top + CROP), slice(left, left + CROP))
        x = torch.cat([features[i][window].float() for i in chosen.tolist()])
        y = torch.cat([targets[i][window] for i in chosen.tolist()])
        loss = F.l1_loss(head(x, up[chosen], styles[-1][chosen]), y)
        optimiser.zero_grad(set_to_none=True)
        loss.backward()  # type: ignore[no-untyped-call]
        optimiser.step()
        schedule.step()
        bar.set_postfix(l1=f"{loss.item():.4f}")
    head.requires_grad_(False)
    with torch.inference_mode():
        errors = [
            F.mse_loss(head(features[i].float(), up[i : i + 1], styles[-1][i : i + 1]), targets[i])
            for i in range(faces, len(features))
        ]
    return 10 * math.log10(4 / float(torch.stack(errors).mean()))
