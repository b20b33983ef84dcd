"""`python -m recipes face-id`: train FaceID, a compact ArcFace network for the identity loss.

This does not reproduce the bytes of the file that ships: its pictures are not in the repository
(`training_faces`).

Each generated face is one identity, and its painted variants (other hair, make-up, beard) are other
photographs of the same person, so the network learns to look past just what edits change. ArcFace's
margin loss (Deng et al. 2019) separates the identities; a relational term (Park et al. 2019) makes
the cosines between faces follow those of a teacher that has seen real people.
"""

import random
from pathlib import Path

import click
import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F
from tqdm import tqdm

from recipes import options
from recipes.face_clip import LabelledFaces, augment
from recipes.inputs import labelled_faces
from recipes.report import Report
from styleclip_rt.checkpoints import native
from styleclip_rt.errors import StyleClipError
from styleclip_rt.files import replacing
from styleclip_rt.models.arcface import ArcFace, ArcFaceConfig

FACE_ID = ArcFaceConfig(
    widths=(24, 48, 96, 192), units=(1, 2, 2, 2), reduction=8, embed_dim=128, input_size=64
)
SCALE, MARGIN = 24.0, 0.3


@click.command("face-id")
@options.faces
@options.out("face-id")
@options.steps(900)
@options.seed
def recipe(faces: Path, out: Path, steps: int, seed: int) -> None:
    """Train FaceID; run again to continue after an interruption."""
    report = Report()
    labelled = LabelledFaces.load(labelled_faces(faces))
    out.mkdir(parents=True, exist_ok=True)
    teacher = np.load(faces / "identity.npy")
    model = train_face_id(labelled, teacher, steps, out / "checkpoint.pt", seed=seed)
    native.save(model, out / "face_id.safetensors")
    _, rows = labelled.split()
    images = torch.from_numpy(labelled.images[rows]).permute(0, 3, 1, 2).float() / 255
    with torch.inference_mode():
        embedding = torch.cat([model.encode(part) for part in torch.split(images, 64)])
    report.made(
        out / "face_id.safetensors",
        source=f"{len(labelled.face)} pictures in {faces}, {steps} steps, seed {seed}",
        figures=verification(embedding, labelled.face[rows]),
    )


def margin_logits(embedding: Tensor, centres: Tensor, label: Tensor) -> Tensor:
    """ArcFace, equation 3: SCALE * cos(angle + MARGIN for the true class).

    embedding [N, D] and centres [C, D] of any norm, label [N] -> [N, C].
    """
    cosine = F.normalize(embedding, dim=1) @ F.normalize(centres, dim=1).T
    angle = cosine.clamp(-1 + 1e-6, 1 - 1e-6).acos()
    true = F.one_hot(label, centres.shape[0]).to(angle)
    return SCALE * (angle + MARGIN * true).clamp(max=torch.pi).cos()


def centred_cosines(embedding: Tensor, mean: Tensor) -> Tensor:
    """[N, D] -> [N, N] cosines after removing the mean face, so that strangers are near zero."""
    centred = F.normalize(embedding - mean, dim=1)
    return centred @ centred.T


def train_face_id(
    faces: LabelledFaces,
    teacher: np.ndarray,
    steps: int,
    checkpoint: Path,
    batch: int = 64,
    learning_rate: float = 2e-3,
    seed: int = 0,
    config: ArcFaceConfig = FACE_ID,
) -> ArcFace:
    """Train from scratch, or from `checkpoint` where an earlier run stopped.

    Args:
        faces: images with several variants of each face.
        teacher: [F, D] descriptors of the unpainted faces, by face number.
        steps: optimiser steps in all.
        checkpoint: written every 200 steps, atomically.

    Returns:
        the network, frozen, in eval mode.

    Raises:
        StyleClipError: there are fewer faces than in a batch.
    """
    torch.manual_seed(seed)
    rows, _ = faces.split()
    identities = np.unique(faces.face[rows])
    if len(identities) < batch:
        raise StyleClipError(f"FaceID learns from at least {batch} faces at once.")
    label_of = {int(face): i for i, face in enumerate(identities)}
    variants = {int(face): rows[faces.face[rows] == face] for face in identities}
    descriptors = torch.from_numpy(teacher).float()
    mean = descriptors[torch.from_numpy(identities)].mean(dim=0)
    model = ArcFace(config).train()
    centres = nn.Parameter(torch.randn(len(identities), config.embed_dim) * 0.1)
    optimiser = torch.optim.AdamW(
        [*model.parameters(), centres], learning_rate, weight_decay=0.02, fused=True
    )
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimiser, learning_rate, total_steps=steps)
    first = 0
    if checkpoint.exists():
        state = torch.load(checkpoint, weights_only=True)
        first = state["step"]
        model.load_state_dict(state["model"])
        with torch.no_grad():
            centres.copy_(state["centres"])
        optimiser.load_state_dict(state["optimiser"])
        schedule.load_state_dict(state["schedule"])
    bar = tqdm(range(first, steps), desc="training FaceID", unit="step", initial=first, total=steps)
    for step in bar:
        rng = random.Random(f"{seed}/{step}")
        random_ = torch.Generator().manual_seed(seed * 1_000_003 + step)
        chosen = rng.sample(sorted(variants), batch)
        picked = np.array([rng.choice(variants[face].tolist()) for face in chosen])
        images = torch.from_numpy(faces.images[picked]).permute(0, 3, 1, 2).float() / 255
        embedding = model.encode(augment(images, random_))
        label = torch.tensor([label_of[face] for face in chosen])
        arc = F.cross_entropy(margin_logits(embedding, centres, label), label)
        wanted = centred_cosines(descriptors[torch.tensor(chosen)], mean)
        relation = F.mse_loss(embedding @ embedding.T, wanted)
        loss = arc + 20 * relation
        optimiser.zero_grad(set_to_none=True)
        loss.backward()  # type: ignore[no-untyped-call]
        optimiser.step()
        schedule.step()
        bar.set_postfix(arc=f"{arc.item():.2f}", relation=f"{relation.item():.4f}", refresh=False)
        if (step + 1) % 200 == 0 or step + 1 == steps:
            state = {
                "step": step + 1,
                "model": model.state_dict(),
                "centres": centres.detach(),
                "optimiser": optimiser.state_dict(),
                "schedule": schedule.state_dict(),
            }
            with replacing(checkpoint) as temporary:
                torch.save(state, temporary)
    return model.eval().requires_grad_(False)


def verification(embedding: Tensor, face: np.ndarray) -> dict[str, float]:
    """How well cosines tell the same face from another.

    Args:
        embedding: [V, D], unit norm, of several variants of each face.
        face: [V] which face each shows.

    Returns:
        `auc`, and `accuracy` at the threshold that is best on a balanced set of pairs.
    """
    cosine = embedding @ embedding.T
    number = torch.from_numpy(face)
    same = number[:, None] == number[None, :]
    upper = torch.ones_like(same).triu(1)
    positive = cosine[same & upper].sort().values
    negative = cosine[~same & upper].sort().values
    auc = float((torch.searchsorted(negative, positive) / len(negative)).mean())
    true_accept = 1 - torch.linspace(0, 1, len(positive))
    false_accept = 1 - torch.searchsorted(negative, positive) / len(negative)
    accuracy = float((0.5 * true_accept + 0.5 * (1 - false_accept)).max())
    return {"auc": auc, "accuracy": accuracy}
