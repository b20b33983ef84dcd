import random
from pathlib import Path

import numpy as np
import torch

from recipes.face_clip import (
    ATTRIBUTES,
    FaceClipTrainer,
    LabelledFaces,
    augment,
    draw_captions,
    evaluate,
    pair_loss,
    pair_truth,
)
from recipes.labels.captions import PHRASES
from styleclip_rt.models.clip import CLIPConfig, ConvTowerConfig, TextConfig

TINY = CLIPConfig(
    embed_dim=16,
    image_resolution=16,
    vision=ConvTowerConfig(widths=(16, 32), depths=(1, 1)),
    text=TextConfig(width=32, layers=1, heads=2, embedding_rank=8),
    logit_bias=True,
)


def coloured_faces(count: int = 40) -> LabelledFaces:
    """Images whose colour says whether the first attribute holds."""
    rng = np.random.default_rng(0)
    truth = np.full((count, len(ATTRIBUTES)), -1, np.int8)
    truth[:, 0] = np.arange(count) % 2
    truth[:, 1] = 1 - truth[:, 0]
    images = rng.integers(0, 60, (count, 16, 16, 3)).astype(np.uint8)
    images[truth[:, 0] == 1, :, :, 0] += 180
    return LabelledFaces(images, truth, np.arange(count))


def test_pair_truth_is_the_conjunction() -> None:
    truth = np.array([[1, 1, 0], [1, -1, 1], [0, -1, -1]], np.int8)
    pairs = pair_truth(truth, [[0], [0, 1], [1, 2], []])
    assert pairs.tolist() == [[1, 1, 0, 1], [1, -1, -1, 1], [0, 0, -1, 1]]


def test_pair_loss_ignores_the_unknown_and_balances_the_rest() -> None:
    logits = torch.zeros(3, 1, requires_grad=True)
    pair_loss(logits, torch.tensor([[1.0], [0.0], [-1.0]])).backward()
    assert logits.grad is not None
    assert logits.grad.flatten().tolist() == [-0.5, 0.5, 0.0]


def test_captions_mean_what_they_say() -> None:
    truth = np.zeros((4, len(ATTRIBUTES)), np.int8)
    truth[:, 2] = 1
    texts, meanings = draw_captions(truth, 64, random.Random(0))
    for text, meaning in zip(texts, meanings, strict=True):
        names = [ATTRIBUTES[i] for i in meaning]
        assert all(any(p in text for p in PHRASES[name]) for name in names)


def test_augmentation_repeats_and_stays_near() -> None:
    images = torch.rand(4, 3, 16, 16)
    one = augment(images, torch.Generator().manual_seed(1))
    assert torch.equal(one, augment(images, torch.Generator().manual_seed(1)))
    assert float((one.mean() - images.mean()).abs()) < 0.15


def test_it_learns(tmp_path: Path) -> None:
    faces = coloured_faces()
    trainer = FaceClipTrainer(faces, tmp_path, steps=60, batch=16, config=TINY)
    report = trainer.run()
    assert (tmp_path / "face_clip.safetensors").exists()
    assert report[ATTRIBUTES[0]] == 1.0
    rows = np.arange(len(faces.images))
    assert evaluate(trainer.averaged(), faces, rows)[ATTRIBUTES[0]] > 0.95


def test_resuming_is_exact(tmp_path: Path) -> None:
    whole = FaceClipTrainer(coloured_faces(), tmp_path / "whole", steps=6, batch=8, config=TINY)
    for _ in range(6):
        whole.train_step()
    first = FaceClipTrainer(coloured_faces(), tmp_path / "parts", steps=6, batch=8, config=TINY)
    for _ in range(3):
        first.train_step()
    first.save()
    second = FaceClipTrainer(
        coloured_faces(), tmp_path / "parts", steps=6, batch=8, config=TINY, seed=0
    )
    assert second.resume()
    for _ in range(3):
        second.train_step()
    for key, value in whole.average.items():
        assert torch.equal(value, second.average[key]), key


def test_no_face_is_in_both_splits() -> None:
    faces = LabelledFaces(np.zeros((40, 1, 1, 3)), np.zeros((40, 1)), np.repeat(np.arange(10), 4))
    train, test = faces.split(0.2)
    assert not set(faces.face[train]) & set(faces.face[test])
    assert len(test) == 8
