from pathlib import Path

import pytest
import torch

from styleclip_rt.runtime import batches, editor
from styleclip_rt.runtime.batches import BYTES_A_PIXEL, MOST, faces_at_once
from styleclip_rt.runtime.editor import Editor
from tests.tiny import tiny_bundle


def test_batches_follow_the_memory() -> None:
    face = BYTES_A_PIXEL * 256 * 256
    assert faces_at_once(256, free=2 * 3 * face) == 3
    assert faces_at_once(256, free=0) == 1
    assert faces_at_once(16, free=1 << 40) == MOST
    assert 1 <= faces_at_once(1024) <= MOST


@pytest.mark.parametrize("told", [{}, {"memory.max": "max\n", "memory.current": "5\n"}])
def test_memory_is_what_the_container_leaves(
    told: dict[str, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def at(path: str) -> Path:
        return tmp_path / Path(path).name

    monkeypatch.setattr(batches, "Path", at)
    for name, text in told.items():
        (tmp_path / name).write_text(text)
    assert batches.free_memory() == batches.ASSUMED
    (tmp_path / "meminfo").write_text("MemTotal: 9 kB\nMemAvailable:  4096 kB\n")
    assert batches.free_memory() == 4 << 20
    (tmp_path / "memory.max").write_text("1048576\n")
    (tmp_path / "memory.current").write_text("1000000\n")
    assert batches.free_memory() == 48576


def test_batches_change_no_picture_and_come_one_by_one(monkeypatch: pytest.MonkeyPatch) -> None:
    edit = Editor(tiny_bundle(), device="cpu", precision="fp32")
    seeds = [1, 2, 3, 4, 5]
    whole = edit.edit_many(["red hair"] * 5, seeds=seeds)
    sizes: list[int] = []
    begin = edit.engine.begin

    def counted(prompts, settings, starts):  # type: ignore[no-untyped-def]
        sizes.append(len(prompts))
        return begin(prompts, settings, starts)

    monkeypatch.setattr(edit.engine, "begin", counted)
    monkeypatch.setattr(editor, "faces_at_once", lambda draft: 2)
    results = edit.edits(["red hair"] * 5, seeds=seeds)
    first = next(results)
    assert sizes == [2]
    parts = [first, *results]
    assert sizes == [2, 2, 1]
    assert [result.seed for result in parts] == seeds
    for one, other in zip(parts, whole, strict=True):
        torch.testing.assert_close(one.latent, other.latent, rtol=1e-3, atol=1e-3)
