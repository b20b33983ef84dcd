from pathlib import Path

import numpy as np
import torch

from recipes.face_clip import ATTRIBUTES, LabelledFaces
from recipes.face_id import MARGIN, SCALE, margin_logits, train_face_id, verification
from styleclip_rt.models.arcface import ArcFaceConfig

TINY = ArcFaceConfig(widths=(8, 8), units=(1, 1), reduction=2, embed_dim=8, input_size=16)


def test_the_margin_is_added_to_the_true_angle_only() -> None:
    angle = 0.7
    embedding = torch.tensor([[np.cos(angle), np.sin(angle)]], dtype=torch.float64)
    centres = torch.tensor([[1.0, 0.0], [0.0, 1.0]], dtype=torch.float64)
    logits = margin_logits(embedding * 3, centres * 2, torch.tensor([0]))
    expected = SCALE * torch.tensor([[np.cos(angle + MARGIN), np.sin(angle)]])
    torch.testing.assert_close(logits, expected)


def test_verification_of_perfect_and_of_useless_embeddings() -> None:
    face = np.repeat(np.arange(20), 4)
    perfect = torch.eye(20)[torch.from_numpy(face)]
    assert verification(perfect, face) == {"auc": 1.0, "accuracy": 1.0}
    noise = torch.nn.functional.normalize(
        torch.randn(80, 64, generator=torch.Generator().manual_seed(0)), dim=1
    )
    assert abs(verification(noise, face)["auc"] - 0.5) < 0.1


def faces() -> tuple[LabelledFaces, np.ndarray]:
    rng = np.random.default_rng(0)
    looks = rng.integers(0, 255, (20, 4, 4, 3)).repeat(8, axis=1).repeat(8, axis=2)
    noise = rng.integers(-20, 20, (60, 32, 32, 3))
    images = np.clip(looks.repeat(3, axis=0) + noise, 0, 255).astype(np.uint8)
    truth = np.zeros((60, len(ATTRIBUTES)), np.int8)
    return LabelledFaces(images, truth, np.repeat(np.arange(20), 3)), rng.standard_normal((20, 6))


def test_training_resumes_exactly(tmp_path: Path) -> None:
    data, teacher = faces()
    options = {"steps": 4, "batch": 8, "config": TINY}
    whole = train_face_id(data, teacher, checkpoint=tmp_path / "a.pt", **options)  # type: ignore[arg-type]
    again = train_face_id(data, teacher, checkpoint=tmp_path / "a.pt", **options)  # type: ignore[arg-type]
    for key, value in whole.state_dict().items():
        assert torch.equal(value, again.state_dict()[key]), key


def test_it_learns_to_tell_faces_apart(tmp_path: Path) -> None:
    data, teacher = faces()
    model = train_face_id(data, teacher, 40, tmp_path / "b.pt", batch=12, config=TINY)
    x = torch.from_numpy(data.images).permute(0, 3, 1, 2).float() / 255
    assert verification(model.encode(x), data.face)["auc"] > 0.9
