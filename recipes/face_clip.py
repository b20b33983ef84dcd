"""`python -m recipes face-clip`: train FaceCLIP, a small CLIP, on labelled faces.

This does not reproduce the file that ships: its pictures are not in the repository
(`training_faces`), and its 3,300 steps were made in two runs, 1,800 and then 1,500 more from there
with small looks asked for more often, as here they are from the first step.

With a few dozen attributes most captions are true of many images of a batch, so the usual
one-to-one InfoNCE would call true pairs false. The loss is therefore SigLIP's pairwise sigmoid
(Zhai et al. 2023) with a caption positive for every image that it is true of, and silent where the
truth is unknown.
"""

import json
import math
import random
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import click
import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F
from tqdm import tqdm

from recipes import options
from recipes.inputs import labelled_faces
from recipes.labels.captions import PHRASES, caption
from recipes.report import Report
from styleclip_rt.checkpoints import native
from styleclip_rt.errors import StyleClipError
from styleclip_rt.files import replacing
from styleclip_rt.models.clip import CLIP, CLIPConfig, ConvTowerConfig, TextConfig
from styleclip_rt.models.tokenizer import tokenize

ATTRIBUTES = tuple(PHRASES)

# Looks that fill few pixels are harder to learn, so they are asked for more often.
_SMALL = ("lips_red", "freckles", "makeup", "lashes", "moustache", "hair_curly", "glasses")
_ASKED = [3.0 if name in _SMALL else 1.0 for name in ATTRIBUTES]

FACE_CLIP = CLIPConfig(
    embed_dim=128,
    image_resolution=96,
    vision=ConvTowerConfig(widths=(40, 80, 160), depths=(2, 2, 4)),
    text=TextConfig(width=128, layers=2, heads=4, activation="gelu", embedding_rank=32),
    logit_bias=True,
    mean=(0.5, 0.5, 0.5),
    std=(0.25, 0.25, 0.25),
)


@click.command("face-clip")
@options.faces
@options.out("face-clip")
@options.steps(3300)
@options.seed
def recipe(faces: Path, out: Path, steps: int, seed: int) -> None:
    """Train FaceCLIP; run again to continue after an interruption."""
    report = Report()
    labelled = LabelledFaces.load(labelled_faces(faces))
    trainer = FaceClipTrainer(labelled, out, steps, seed=seed)
    trainer.resume()
    figures = trainer.run()
    report.made(
        out / "face_clip.safetensors",
        source=f"{len(labelled.face)} pictures in {faces}, {steps} steps, seed {seed}",
        figures={f"AUC of {PHRASES[name][0]}": value for name, value in figures.items()},
    )


@dataclass(frozen=True)
class LabelledFaces:
    """Images and what is true of them.

    Attributes:
        images: uint8 [V, H, W, 3] (may be a memory map).
        truth: int8 [V, len(ATTRIBUTES)]: 1 true, 0 false, -1 unknown.
        face: int64 [V]: which generated face a (painted) variant shows; splits go by face.
    """

    images: np.ndarray
    truth: np.ndarray
    face: np.ndarray

    @classmethod
    def load(cls, folder: Path) -> "LabelledFaces":
        """Read what `labelling.label_faces` wrote."""
        return cls(
            np.load(folder / "images.npy", mmap_mode="r"),
            np.load(folder / "truth.npy"),
            np.load(folder / "face.npy"),
        )

    def split(self, held_out: float = 0.1) -> tuple[np.ndarray, np.ndarray]:
        """Indices of training and of held-out variants; no face is in both."""
        faces = np.unique(self.face)
        first_held_out = faces[int(len(faces) * (1 - held_out))]
        return np.flatnonzero(self.face < first_held_out), np.flatnonzero(
            self.face >= first_held_out
        )


def draw_captions(
    truth: np.ndarray, count: int, rng: random.Random
) -> tuple[list[str], list[list[int]]]:
    """Captions for a batch: mostly true of one of its images, of one to three attributes."""
    texts, meanings = [], []
    for _ in range(count):
        size = rng.choices((0, 1, 2, 3), (0.04, 0.6, 0.26, 0.1))[0]
        if rng.random() < 0.5:
            row = truth[rng.randrange(len(truth))]
            true = np.flatnonzero(row == 1).tolist()
            chosen = rng.sample(true, min(size, len(true)))
        else:
            # By attribute, so that rare looks are asked for as often as common ones.
            chosen = rng.choices(range(truth.shape[1]), _ASKED)[: min(size, 1)]
        meanings.append(chosen)
        texts.append(caption([ATTRIBUTES[i] for i in chosen], rng))
    return texts, meanings


def pair_truth(truth: np.ndarray, meanings: list[list[int]]) -> Tensor:
    """[B, M]: 1 where all attributes of a caption hold, 0 where one does not, -1 unknown."""
    columns = []
    for chosen in meanings:
        values = truth[:, chosen]
        known_false = (values == 0).any(axis=1)
        unknown = (values == -1).any(axis=1)
        columns.append(np.where(known_false, 0, np.where(unknown, -1, 1)))
    return torch.from_numpy(np.stack(columns, axis=1).astype(np.float32))


def pair_loss(logits: Tensor, truth: Tensor) -> Tensor:
    """Sigmoid loss over known pairs; within each caption positives and negatives weigh the same."""
    losses = F.binary_cross_entropy_with_logits(logits, truth.clamp_min(0), reduction="none")
    total = logits.new_zeros(())
    for value in (0.0, 1.0):
        mask = (truth == value).to(losses)
        count = mask.sum(dim=0)
        total = total + ((losses * mask).sum(dim=0) / count.clamp_min(1)).mean()
    return total


def augment(images: Tensor, random_: torch.Generator) -> Tensor:
    """[N, 3, H, W] in [0, 1]: mirror, small affine, gain, blur and noise, one draw an image."""
    n, _, height, width = images.shape

    def uniform(*shape: int) -> Tensor:
        return torch.rand(*shape, generator=random_) * 2 - 1

    matrix = torch.zeros(n, 2, 3)
    zoom = 0.92 + 0.12 * uniform(n)
    angle, mirror = 0.1 * uniform(n), torch.where(uniform(n) > 0, 1.0, -1.0)
    matrix[:, 0, 0], matrix[:, 0, 1] = zoom * mirror * angle.cos(), -zoom * angle.sin()
    matrix[:, 1, 0], matrix[:, 1, 1] = zoom * mirror * angle.sin(), zoom * angle.cos()
    matrix[:, :, 2] = 0.08 * uniform(n, 2)
    grid = F.affine_grid(matrix, [n, 3, height, width], align_corners=False)
    images = F.grid_sample(images, grid, padding_mode="reflection", align_corners=False)
    blurred = F.avg_pool2d(images, 3, stride=1, padding=1, count_include_pad=False)
    images = torch.lerp(images, blurred, torch.rand(n, 1, 1, 1, generator=random_))
    images = images * (1 + 0.08 * uniform(n, 1, 1, 1) + 0.03 * uniform(n, 3, 1, 1))
    noise = torch.randn(images.shape, generator=random_) * 0.02
    return images + noise * torch.rand(n, 1, 1, 1, generator=random_)


class FaceClipTrainer:
    """The training loop; `save` and `resume` make it continue after any interruption.

    Args:
        faces: labelled images.
        folder: for `checkpoint.pt`, `log.jsonl` and, at the end, `face_clip.safetensors`.
        steps: optimiser steps in all.
        batch: images a step (and captions).

    Raises:
        StyleClipError: there are fewer images.
    """

    def __init__(
        self,
        faces: LabelledFaces,
        folder: Path,
        steps: int,
        batch: int = 64,
        learning_rate: float = 1.5e-3,
        seed: int = 0,
        config: CLIPConfig = FACE_CLIP,
    ) -> None:
        torch.manual_seed(seed)
        self.faces, self.folder, self.steps, self.batch = faces, folder, steps, batch
        self.seed, self.step = seed, 0
        self.train_rows, self.test_rows = faces.split()
        if len(self.train_rows) < batch:
            raise StyleClipError(f"FaceCLIP learns from at least {batch} pictures at once.")
        self.model = cast(CLIP, cast(Any, CLIP(config)).to(memory_format=torch.channels_last))
        with torch.no_grad():
            self.model.logit_scale.fill_(math.log(10))
        self.average = {k: v.clone() for k, v in self.model.state_dict().items()}
        self.optimiser = torch.optim.AdamW(
            self.model.parameters(), learning_rate, weight_decay=0.05, betas=(0.9, 0.98), fused=True
        )
        self.schedule = torch.optim.lr_scheduler.OneCycleLR(
            self.optimiser, learning_rate, total_steps=steps, pct_start=0.1
        )

    def save(self) -> None:
        """Write everything that the next step depends on, atomically."""
        self.folder.mkdir(parents=True, exist_ok=True)
        state = {
            "step": self.step,
            "model": self.model.state_dict(),
            "average": self.average,
            "optimiser": self.optimiser.state_dict(),
            "schedule": self.schedule.state_dict(),
        }
        with replacing(self.folder / "checkpoint.pt") as temporary:
            torch.save(state, temporary)

    def resume(self) -> bool:
        """Continue from `checkpoint.pt`, if there is one."""
        path = self.folder / "checkpoint.pt"
        if not path.exists():
            return False
        state = torch.load(path, weights_only=True)
        self.step = state["step"]
        self.model.load_state_dict(state["model"])
        self.average = state["average"]
        self.optimiser.load_state_dict(state["optimiser"])
        self.schedule.load_state_dict(state["schedule"])
        return True

    def train_step(self) -> float:
        """One step; its randomness depends on the seed and the step alone."""
        rng = random.Random(f"{self.seed}/{self.step}")
        random_ = torch.Generator().manual_seed(self.seed * 1_000_003 + self.step)
        rows = np.array(sorted(rng.sample(range(len(self.train_rows)), self.batch)))
        rows = self.train_rows[rows]
        truth = self.faces.truth[rows]
        images = torch.from_numpy(self.faces.images[rows]).permute(0, 3, 1, 2).float() / 255
        texts, meanings = draw_captions(truth, self.batch, rng)
        tokens = tokenize(texts)
        tokens = tokens[:, : int((tokens != 0).sum(dim=1).max())]
        pixels = augment(images, random_).contiguous(memory_format=torch.channels_last)
        loss = pair_loss(self.model(pixels, tokens), pair_truth(truth, meanings))
        self.optimiser.zero_grad(set_to_none=True)
        loss.backward()  # type: ignore[no-untyped-call]
        torch.nn.utils.clip_grad_norm_(self.model.parameters(), 1.0)
        self.optimiser.step()
        self.schedule.step()
        self.step += 1
        decay = min(0.998, (self.step + 1) / (self.step + 10))
        with torch.no_grad():
            current = self.model.state_dict()
            torch._foreach_lerp_(list(self.average.values()), list(current.values()), 1 - decay)
        return float(loss.detach())

    def run(self, save_every: int = 200) -> dict[str, float]:
        """Train to the end; returns the held-out area under the ROC curve of each attribute."""
        smooth = 0.0
        bar = tqdm(total=self.steps, initial=self.step, desc="training FaceCLIP", unit="step")
        while self.step < self.steps:
            loss = self.train_step()
            smooth = loss if smooth == 0.0 else 0.98 * smooth + 0.02 * loss
            bar.set_postfix(loss=f"{smooth:.3f}", refresh=False)
            bar.update()
            if self.step % save_every == 0 or self.step == self.steps:
                self.save()
                with (self.folder / "log.jsonl").open("a") as log:
                    log.write(json.dumps({"step": self.step, "loss": smooth}) + "\n")
        bar.close()
        model = self.averaged()
        native.save(model, self.folder / "face_clip.safetensors")
        return evaluate(model, self.faces, self.test_rows)

    def averaged(self) -> CLIP:
        """The running average of the weights, which is what ships."""
        model = CLIP(self.model.config)
        model.load_state_dict(self.average)
        return model.eval().requires_grad_(False)


def evaluate(model: CLIP, faces: LabelledFaces, rows: np.ndarray) -> dict[str, float]:
    """Area under the ROC curve of each attribute's first phrase over `rows`; attributes that never
    hold (or always do) are left out."""
    with torch.inference_mode():
        embeddings = torch.cat(
            [
                model.encode_image(
                    torch.from_numpy(faces.images[chunk]).permute(0, 3, 1, 2).float() / 255
                )
                for chunk in np.array_split(rows, math.ceil(len(rows) / 64))
            ]
        )
        text = model.encode_text(tokenize([PHRASES[name][0] for name in ATTRIBUTES]))
    scores = (embeddings @ text.T).numpy()
    result = {}
    for column, name in enumerate(ATTRIBUTES):
        truth = faces.truth[rows, column]
        positive, negative = scores[truth == 1, column], scores[truth == 0, column]
        if len(positive) and len(negative):
            ranks = np.concatenate([positive, negative]).argsort().argsort()[: len(positive)]
            wins = ranks.sum() - len(positive) * (len(positive) - 1) / 2
            result[name] = float(wins / (len(positive) * len(negative)))
    return result
