import csv
from pathlib import Path
from types import SimpleNamespace

import pytest

from styleclip_rt.errors import StyleClipError
from styleclip_rt.runtime.editor import Editor
from styleclip_rt.runtime.studies import edits as study
from tests.tiny import tiny_bundle


def test_a_study_leaves_a_table_and_pictures_and_continues(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    calls: list[str] = []

    def judge(prompt: str, original: object, edited: object) -> object:
        calls.append(prompt)
        return SimpleNamespace(
            prompt=prompt,
            success=prompt == "old",
            before=0.0,
            after=1.0,
            identity_cosine=0.97,
            identity_distance=0.2,
            same_person=True,
            collateral=SimpleNamespace(colour=2.0),
        )

    monkeypatch.setattr(study, "judge", judge)
    editor = Editor(tiny_bundle(steps=1), device="cpu", precision="fp32")

    def rows() -> list[study.SeedEdit]:
        prompts, spaces = ["old", "red hair"], ["w", "w+"]
        return study.run_study(editor, prompts, spaces, 2, tmp_path, fresh_faces=False)

    first = rows()
    assert [(row.prompt, row.space, row.seed) for row in first] == [
        (prompt, space, seed)
        for prompt in ("old", "red hair")
        for space in ("w", "w+")
        for seed in (0, 1)
    ]
    assert "| old | w+ | 2 | 2/2 | 2/2 | 0.970 (0.970) | 2.0 | 0 |" in study.summary(first)
    assert "| red hair | w | 2 | 0/2 |" in (tmp_path / "summary.md").read_text()
    with (tmp_path / "edits.csv").open(newline="") as file:
        assert [row["seed"] for row in csv.DictReader(file)] == ["0", "1"] * 4
    assert (tmp_path / "sheet-wplus.png").is_file()
    assert rows() == first
    assert len(calls) == 8
    other = Editor(tiny_bundle(steps=2), device="cpu", precision="fp32")
    with pytest.raises(StyleClipError, match=r"made otherwise \(other settings\)"):
        study.run_study(other, ["old"], ["w"], 1, tmp_path, fresh_faces=False)
