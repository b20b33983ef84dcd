"""Edits on a GPU: the step as a CUDA graph, against the same step run as it is."""

import pytest
import torch
from styleclip_rt.runtime.editor import Editor
from styleclip_rt.runtime.torch_edits import TorchRun

from tests.tiny import tiny_bundle

pytestmark = [
    pytest.mark.gpu,
    pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU"),
]


@pytest.mark.parametrize("space", ["z", "w", "w+", "s"])
@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_a_captured_edit_is_the_edit(
    space: str, precision: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    editor = Editor(tiny_bundle(), device="cuda", precision=precision)
    settings = {"space": space, "steps": 8, "views": 1, "preserve": 1.0}
    captured = editor.edit("red hair", seed=3, **settings)

    original = TorchRun.step

    def eager(self: TorchRun, step: int) -> torch.Tensor:
        self.take_step = self._step
        return original(self, step)

    monkeypatch.setattr(TorchRun, "step", eager)
    plain = editor.edit("red hair", seed=3, **settings)
    torch.testing.assert_close(captured.latent, plain.latent, rtol=1e-2, atol=1e-2)
    for one, two in zip(captured.history, plain.history, strict=True):
        assert one["total"] == pytest.approx(two["total"], rel=2e-2, abs=2e-3)
