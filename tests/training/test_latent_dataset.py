import json
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from safetensors.torch import save_file

from styleclip_rt.errors import StyleClipError
from styleclip_rt.files import alone_in
from styleclip_rt.models.generator import sample_z
from styleclip_rt.training import latent_dataset
from styleclip_rt.training.latent_dataset import LatentDataset, draw_sheet, generate
from tests.tiny import tiny_bundle


@pytest.fixture(autouse=True)
def small_shards(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(latent_dataset, "SHARD", 4)


def contents(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def test_holds_every_face_once_and_none_in_both_splits(tmp_path: Path) -> None:
    bundle = tiny_bundle()
    index = generate(bundle, tmp_path, train=10, val=3)
    seeds = index.seeds("train", range(10)) + index.seeds("val", range(3))
    assert len(set(seeds)) == 13
    train = LatentDataset(tmp_path, "train")
    assert (len(train), len(LatentDataset(tmp_path, "val"))) == (10, 3)
    rows = [9, 0, 5]
    w = bundle.generator.mapping(sample_z(bundle.generator, index.seeds("train", rows)), 0.7)
    torch.testing.assert_close(train.w(rows), w)


def test_goes_on_after_a_kill_with_the_same_bytes(tmp_path: Path) -> None:
    bundle = tiny_bundle()
    generate(bundle, tmp_path / "whole", 10, 3)
    generate(bundle, tmp_path / "cut", 10, 3)
    # What a kill leaves: some shards are missing and one was being written.
    for name in ("train-00001.safetensors", "val-00000.safetensors"):
        (tmp_path / "cut" / name).unlink()
    half = tmp_path / "cut" / ".train-00001.safetensors.1.tmp"
    half.write_bytes(b"half")
    with pytest.raises(StyleClipError, match="dataset generate"):
        LatentDataset(tmp_path / "cut", "train")
    generate(bundle, tmp_path / "cut", 10, 3)
    half.unlink()
    assert contents(tmp_path / "cut") == contents(tmp_path / "whole")


def test_another_set_in_the_folder_is_kept(tmp_path: Path) -> None:
    generate(tiny_bundle(), tmp_path, 4, 2)
    before = contents(tmp_path)
    with pytest.raises(StyleClipError, match="holds another data set"):
        generate(tiny_bundle(), tmp_path, 4, 2, seed=5)
    assert contents(tmp_path) == before


def test_a_full_disk_is_found_before_the_work(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("shutil.disk_usage", lambda _: SimpleNamespace(free=10))
    with pytest.raises(StyleClipError, match="0 MB of free space"):
        generate(tiny_bundle(), tmp_path, 4, 2)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("text", ["", "{}", "[]", json.dumps({"format": latent_dataset.FORMAT})])
def test_a_damaged_index_says_so(tmp_path: Path, text: str) -> None:
    (tmp_path / "index.json").write_text(text)
    with pytest.raises(StyleClipError, match="is damaged"):
        LatentDataset(tmp_path, "train")


def test_a_missing_set_says_how_to_make_it(tmp_path: Path) -> None:
    with pytest.raises(StyleClipError, match="styleclip dataset generate --out"):
        LatentDataset(tmp_path / "nowhere", "train")


def test_sheet_shows_the_validation_faces(tmp_path: Path) -> None:
    bundle = tiny_bundle()
    generate(bundle, tmp_path, 4, 10)
    assert draw_sheet(bundle, tmp_path).size == (8 * 192, 2 * 192)


@pytest.mark.parametrize("kept", [0, 8, 100, -1])
def test_a_truncated_shard_is_drawn_again(tmp_path: Path, kept: int) -> None:
    bundle = tiny_bundle()
    generate(bundle, tmp_path, 10, 3)
    before = contents(tmp_path)
    path = tmp_path / "train-00001.safetensors"
    path.write_bytes(path.read_bytes()[:kept])
    with pytest.raises(StyleClipError, match="draws what is missing or damaged"):
        LatentDataset(tmp_path, "train")
    generate(bundle, tmp_path, 10, 3)
    assert contents(tmp_path) == before


def test_a_shard_of_other_numbers_is_drawn_again(tmp_path: Path) -> None:
    generate(tiny_bundle(), tmp_path, 10, 3)
    before = contents(tmp_path)
    half = {"z": torch.zeros(4, 16).half(), "w": torch.zeros(4, 16).half()}
    save_file(half, tmp_path / "train-00000.safetensors")
    generate(tiny_bundle(), tmp_path, 10, 3)
    assert contents(tmp_path) == before


@pytest.mark.parametrize(
    "change",
    [
        {"train": 10**18},
        {"train": 0},
        {"val": -1},
        {"seed": 2**63},
        {"truncation_psi": float("nan")},
        {"truncation_psi": float("inf")},
    ],
)
def test_numbers_that_cannot_be_are_refused_at_once(
    tmp_path: Path, change: dict[str, float]
) -> None:
    with pytest.raises(StyleClipError, match="there can be no such data set"):
        generate(tiny_bundle(), tmp_path / "new", **({"train": 4, "val": 2} | change))  # type: ignore[arg-type]
    assert not (tmp_path / "new").exists()


@pytest.mark.parametrize(
    "change",
    [{"train": 10**18}, {"train": "4"}, {"val": True}, {"latent_dim": -1}, {"bundle": 3}],
)
def test_an_index_of_other_numbers_is_damaged(tmp_path: Path, change: dict[str, object]) -> None:
    generate(tiny_bundle(), tmp_path, 4, 2)
    path = tmp_path / "index.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | change))
    with pytest.raises(StyleClipError, match="is damaged"):
        LatentDataset(tmp_path, "train")


def test_only_one_at_a_time_writes_a_data_set(tmp_path: Path) -> None:
    with alone_in(tmp_path), pytest.raises(StyleClipError, match="another process is at work"):
        generate(tiny_bundle(), tmp_path, 4, 2)
    assert not list(tmp_path.iterdir())
