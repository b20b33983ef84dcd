"""The Node example, where Node and its package are."""

import shutil
import subprocess
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import save_file

from styleclip_rt.export.table import build
from styleclip_rt.pictures import to_pil
from tests.tiny import tiny_bundle

pytest.importorskip("onnxscript")

EXAMPLE = Path(__file__).parents[2] / "examples" / "node"
NODE = shutil.which("node")


@pytest.mark.skipif(NODE is None, reason="needs node")
@pytest.mark.skipif(
    not (EXAMPLE / "node_modules" / "onnxruntime-node").is_dir(),
    reason="needs 'npm install --ignore-scripts' in examples/node",
)
def test_node_draws_the_same(tmp_path: Path) -> None:
    from styleclip_rt.export.onnx import export_onnx

    bundle = tiny_bundle()
    network = build(bundle, "synthesis")
    export_onnx(network, bundle.name, tmp_path / "synthesis.onnx")
    (latent,) = network.sample(1, torch.Generator().manual_seed(3))
    save_file({"latent": latent}, tmp_path / "latent.safetensors", {"space": "w+"})
    names = ("synthesis.onnx", "latent.safetensors", "face.ppm")
    files = [str(tmp_path / name) for name in names]
    done = subprocess.run([str(NODE), EXAMPLE / "draw.js", *files], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    expected = np.asarray(to_pil(bundle.generator.synthesis(latent)[0] * 0.5 + 0.5), np.int16)
    found = np.asarray(Image.open(files[2]), np.int16)
    assert np.abs(found - expected).max() <= 1
    assert expected.std() > 10
