"""What is measured of a generator once, and kept with its bundle."""

from pathlib import Path

import pytest
import torch

from styleclip_rt.bundle import Bundle
from styleclip_rt.editing import kept
from styleclip_rt.editing.spaces import Whitening
from styleclip_rt.models.generator import fingerprint
from tests.tiny import tiny_bundle


def whitening(bundle: Bundle) -> Whitening:
    return kept.whitening(bundle, bundle.generator, fingerprint(bundle.generator))


@pytest.fixture
def folder(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    monkeypatch.setenv("STYLECLIP_RT_CACHE", str(tmp_path))
    return tmp_path / "bundles" / tiny_bundle().name


def test_a_generator_is_measured_once(monkeypatch: pytest.MonkeyPatch, folder: Path) -> None:
    bundle = tiny_bundle()
    folder.mkdir(parents=True)
    first = whitening(bundle)
    monkeypatch.setattr(Whitening, "__init__", None)
    second = whitening(bundle)
    assert torch.equal(first.axes, second.axes) and torch.equal(first.inverse, second.inverse)


@pytest.mark.parametrize("damage", ["cut", "zeros", "other"])
def test_what_is_broken_is_measured_and_written_anew(folder: Path, damage: str) -> None:
    bundle = tiny_bundle()
    folder.mkdir(parents=True)
    first = whitening(bundle)
    (path,) = folder.iterdir()
    whole = path.read_bytes()
    broken = {"cut": whole[:-4], "zeros": whole[:-64] + bytes(64), "other": b"{}"}
    path.write_bytes(broken[damage])
    assert torch.equal(whitening(bundle).axes, first.axes)
    assert path.read_bytes() == whole


def test_a_bundle_that_lies_nowhere_leaves_nothing(folder: Path) -> None:
    whitening(tiny_bundle())
    assert not folder.exists()
