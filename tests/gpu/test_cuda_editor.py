"""Edits on a GPU: the step as a CUDA graph, against the same step run as it is."""

import pytest
import torch

from styleclip_rt.runtime.editor import Editor
from styleclip_rt.runtime.results import EditResult
from styleclip_rt.runtime.torch_edits import TorchRun
from tests.tiny import tiny_bundle

pytestmark = [
    pytest.mark.gpu,
    pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU"),
]


@pytest.mark.parametrize("space", ["z", "w", "w+", "s"])
@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_captured_edits_are_the_edits(
    space: str, precision: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The second edit is replayed from the first one's graph."""
    editor = Editor(tiny_bundle(), device="cuda", precision=precision)

    def edits() -> list[EditResult]:
        settings = {"space": space, "steps": 8, "views": 1, "preserve": 1.0}
        return [
            editor.edit(prompt, seed=seed, **settings)
            for prompt, seed in (("red hair", 3), ("smiling", 4))
        ]

    captured = edits()
    original = TorchRun.step

    def eager(self: TorchRun, step: int) -> torch.Tensor:
        self.take_step = self.plain_step
        return original(self, step)

    monkeypatch.setattr(TorchRun, "step", eager)
    for replayed, plain in zip(captured, edits(), strict=True):
        torch.testing.assert_close(replayed.latent, plain.latent, rtol=1e-2, atol=1e-2)
        for one, two in zip(replayed.history, plain.history, strict=True):
            assert one["total"] == pytest.approx(two["total"], rel=2e-2, abs=2e-3)
