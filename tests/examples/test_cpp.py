"""The C++ example: built against torch's own libraries, run without Python."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import save_file

from styleclip_rt import __version__
from styleclip_rt.checkpoints import mapper_file
from styleclip_rt.compiled import OP_LIBRARY
from styleclip_rt.export.table import build
from styleclip_rt.export.torchscript import export_torchscript
from styleclip_rt.ops import _library
from styleclip_rt.pictures import to_pil
from tests.export.archives import of_version
from tests.tiny import tiny_bundle, tiny_prompt_mapper

SOURCE = Path(__file__).parents[2] / "examples" / "cpp"

CMAKE = shutil.which("cmake", path=f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}")

pytestmark = pytest.mark.skipif(
    CMAKE is None or shutil.which(os.environ.get("CXX", "c++")) is None or not _library.load(),
    reason="needs CMake, a C++ compiler and the compiled ops",
)


@pytest.fixture(scope="module")
def draw(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("build")
    prefix = f"-DCMAKE_PREFIX_PATH={torch.utils.cmake_prefix_path}"
    for command in (["-S", SOURCE, "-B", folder, prefix], ["--build", folder]):
        done = subprocess.run([str(CMAKE), *command], capture_output=True, text=True)
        assert done.returncode == 0, done.stdout + done.stderr
    return folder / "draw"


def run(*arguments: object) -> "subprocess.CompletedProcess[str]":
    return subprocess.run([str(a) for a in arguments], capture_output=True, text=True)


def test_a_program_without_python_draws_the_same(draw: Path, tmp_path: Path) -> None:
    bundle = tiny_bundle()
    network = build(bundle, "synthesis")
    export_torchscript(network, bundle.name, tmp_path / "synthesis.fused.ts", fused=True)
    (latent,) = network.sample(1, torch.Generator().manual_seed(3))
    save_file({"latent": latent}, tmp_path / "latent.safetensors", {"space": "w+"})
    names = ("synthesis.fused.ts", "latent.safetensors", "face.ppm")
    files = [tmp_path / name for name in names]
    done = run(draw, OP_LIBRARY, *files)
    assert done.returncode == 0, done.stderr
    expected = np.asarray(to_pil(bundle.generator.synthesis(latent)[0] * 0.5 + 0.5), np.int16)
    found = np.asarray(Image.open(files[2]), np.int16)
    assert np.abs(found - expected).max() <= 1
    assert expected.std() > 10

    look = tmp_path / "look.safetensors"
    mapper_file.save(tiny_prompt_mapper(bundle, ("red hair", "old")), look, mapper_file.Origin())
    network = build(bundle, "mapper_synthesis", str(look))
    export_torchscript(network, bundle.name, files[0], fused=True)
    assert run(draw, OP_LIBRARY, *files, 1.5, 1).returncode == 0
    edited = network.module(latent, torch.full((1,), 1.5), torch.tensor([1]))
    expected = np.asarray(to_pil(edited[0] * 0.5 + 0.5), np.int16)
    assert np.abs(np.asarray(Image.open(files[2]), np.int16) - expected).max() <= 1
    assert np.abs(found - expected).max() > 5

    broken = tmp_path / "broken.safetensors"
    broken.write_bytes(files[1].read_bytes()[:-4])
    done = run(draw, OP_LIBRARY, files[0], broken, tmp_path / "none.ppm", 1, 0)
    assert done.returncode == 2
    assert "is cut short" in done.stderr
    assert not (tmp_path / "none.ppm").exists()

    foreign = of_version(files[0], "0.0.0", tmp_path / "foreign.ts")
    done = run(draw, OP_LIBRARY, foreign, files[1], tmp_path / "none.ppm", 1, 0)
    assert done.returncode == 2
    assert f"made for version 0.0.0, but the op library is of version {__version__}" in done.stderr
