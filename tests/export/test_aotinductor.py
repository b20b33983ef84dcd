"""Archives of AOTInductor: what they compute, and how they fail."""

import dataclasses
from pathlib import Path

import pytest
import torch

from styleclip_rt import engines
from styleclip_rt.errors import ExportError, StyleClipError
from styleclip_rt.export.aotinductor import export_aotinductor
from styleclip_rt.export.table import build
from styleclip_rt.export.torchscript import export_torchscript
from styleclip_rt.ops import _library
from tests.tiny import tiny_bundle

pytestmark = pytest.mark.skipif(not _library.load(), reason="no compiled ops to keep")

BUNDLE = tiny_bundle()


@pytest.fixture(scope="module")
def synthesis(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("aotinductor") / "synthesis.pt2"
    assert export_aotinductor(build(BUNDLE, "synthesis"), "tiny", path).passed
    return path


def test_the_batch_is_free_and_our_ops_are_kept(synthesis: Path) -> None:
    engine = engines.load(synthesis)
    assert (engine.info.network, engine.info.flavour) == ("synthesis", "fused")
    w_plus = torch.randn(5, 11, 16)
    found = engine({"w_plus": w_plus.numpy()})["image"]
    torch.testing.assert_close(
        torch.from_numpy(found), BUNDLE.generator.synthesis(w_plus), atol=1e-5, rtol=1e-5
    )
    assert b"styleclip_rt::separable_conv2d" in synthesis.read_bytes()


def test_no_compiler_is_said_in_a_sentence(tmp_path: Path) -> None:
    no_compiler = torch._inductor.config.patch({"cpp.cxx": "no-such-compiler"})
    with no_compiler, pytest.raises(StyleClipError, match=r"install g\+\+ or clang\+\+"):
        export_aotinductor(build(BUNDLE, "mapping"), "tiny", tmp_path / "mapping.pt2")
    assert list(tmp_path.iterdir()) == []


def test_broken_and_foreign_archives(synthesis: Path, tmp_path: Path) -> None:
    whole = synthesis.read_bytes()
    for content in (b"", b"garbage", whole[: len(whole) // 2]):
        path = tmp_path / "synthesis.pt2"
        path.write_bytes(content)
        with pytest.raises(ExportError, match="is not a readable archive of AOTInductor"):
            engines.load(path)
    with pytest.raises(ExportError, match="was compiled for cpu, not for cuda"):
        engines.load(synthesis, "cuda")


@pytest.mark.parametrize("suffix", [".pt2", ".ts"])
def test_ops_of_another_version(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"mapping{suffix}"
    network = build(BUNDLE, "mapping")

    class Tomorrow(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.mapping = network.module

        def forward(self, z: torch.Tensor, psi: torch.Tensor) -> torch.Tensor:
            return torch.ops.styleclip_rt.of_tomorrow(self.mapping(z, psi))

    other = dataclasses.replace(network, module=Tomorrow())
    with torch.library._scoped_library("styleclip_rt", "FRAGMENT") as library:
        library.define("of_tomorrow(Tensor x) -> Tensor")
        library.impl("of_tomorrow", torch.neg, "CompositeExplicitAutograd")
        if suffix == ".pt2":
            export_aotinductor(other, "tiny", path)
        else:
            export_torchscript(other, "tiny", path, fused=True)
    with pytest.raises(ExportError, match="in another version: export it again"):
        engines.load(path)
