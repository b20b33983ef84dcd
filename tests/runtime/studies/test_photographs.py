import csv
import math
import shutil
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from PIL import Image

from styleclip_rt.checkpoints import native
from styleclip_rt.errors import StyleClipError
from styleclip_rt.runtime import inversion
from styleclip_rt.runtime.mapper import MapperRuntime
from styleclip_rt.runtime.studies import photographs as study
from styleclip_rt.runtime.studies.photographs import PhotographStudy, seam, summary
from tests.runtime.test_mapper_runtime import prompt_mapper
from tests.tiny import tiny_bundle

PORTRAIT = Path(__file__).parents[2] / "golden" / "photos" / "official.jpg"


@pytest.fixture
def judged(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Stand-ins for dlib's probes: who smiles is another, and no face is old."""
    calls: list[str] = []

    def judge(prompt: str, original: object, edited: object) -> object:
        calls.append(prompt)
        return SimpleNamespace(
            prompt=prompt,
            success=True,
            before=0.0,
            after=1.0,
            identity_cosine=0.9,
            same_person=False,
            collateral=SimpleNamespace(colour=2.0),
        )

    face = SimpleNamespace(detected=True, lab=np.zeros((study.SIZE, study.SIZE, 3), np.float32))
    monkeypatch.setitem(inversion.QUALITIES, "fast", 2)
    monkeypatch.setitem(inversion.REFINING, "fast", 1)
    monkeypatch.setattr(study, "Face", SimpleNamespace(read=lambda _: face))
    monkeypatch.setattr(study, "Regions", lambda face: SimpleNamespace(face=face))
    monkeypatch.setattr(study, "has_look", lambda prompt, _: prompt == "old")
    monkeypatch.setattr(study, "judge", judge)
    monkeypatch.setattr(study, "likeness", lambda *_: SimpleNamespace(cosine=0.99, distance=0.2))
    return calls


@pytest.fixture
def images(tmp_path: Path) -> Path:
    folder = tmp_path / "images"
    folder.mkdir()
    shutil.copy(PORTRAIT, folder / "me.jpg")
    Image.new("RGB", (200, 200), (10, 120, 40)).save(folder / "grass.png")
    (folder / "broken.jpg").write_bytes(b"none")
    (folder / "notes.txt").write_text("no picture")
    return folder


@pytest.fixture
def runtime(tmp_path: Path) -> MapperRuntime:
    native.save(prompt_mapper(), tmp_path / "hair.safetensors")
    return MapperRuntime(tiny_bundle(), {"hair": tmp_path / "hair.safetensors"})


def test_a_folder_of_pictures_is_measured_and_goes_on(
    judged: list[str], images: Path, runtime: MapperRuntime, tmp_path: Path
) -> None:
    out = tmp_path / "out"
    pictures, edits = PhotographStudy(runtime, images, out).run()
    assert [(row.picture, bool(row.skipped)) for row in pictures] == [
        ("broken.jpg", True),
        ("grass.png", True),
        ("me.jpg", False),
    ]
    (edit,) = edits
    assert (edit.picture, edit.prompt, edit.outside) == ("me.jpg", "red hair", 0)
    assert edit.same_person and edit.identity_distance == 0.2
    told = (out / "summary.md").read_text(encoding="utf-8")
    assert told == summary(pictures, edits)
    assert "| red hair | 1 | 1/1 (100 %) | 1/1 | 0.20 (0.20) |" in told
    assert "| pixels outside the mask | identical in every edit |" in told
    assert "- grass.png: No face was found" in told
    with (out / "photographs.csv").open(newline="", encoding="utf-8") as file:
        assert [row["picture"] for row in csv.DictReader(file)] == [p.picture for p in pictures]
    assert (out / "sheet.png").is_file()
    assert PhotographStudy(runtime, images, out).run() == (pictures, edits)
    assert judged == ["red hair"]
    with pytest.raises(StyleClipError, match=r"made otherwise \(other quality\)"):
        PhotographStudy(runtime, images, out, quality="best")


def test_a_face_that_is_lost_is_another_person(
    judged: list[str],
    images: Path,
    runtime: MapperRuntime,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(study, "_found_anew", lambda *_: None)
    _, (edit,) = PhotographStudy(runtime, images, tmp_path / "out").run()
    assert not edit.same_person and math.isinf(edit.identity_distance)


def test_what_cannot_be_measured_is_one_sentence(
    images: Path, runtime: MapperRuntime, tmp_path: Path
) -> None:
    out = tmp_path / "out"
    for folder, quality, prompts, message in (
        (tmp_path / "none", "fast", (), "name a folder of pictures"),
        (images / "me.jpg", "fast", (), "name a folder of pictures"),
        (out, "fast", (), "name a folder"),
        (images, "slow", (), "unknown quality 'slow'"),
        (images, "fast", ("green skin",), "no mapper was trained for 'green skin'"),
    ):
        with pytest.raises(StyleClipError, match=message):
            PhotographStudy(runtime, folder, out, quality, prompts)
    assert not out.exists()


def test_a_seam_is_an_edge_on_the_rim_that_was_not_there() -> None:
    across = np.linspace(0, 1, 128, dtype=np.float32)[None].repeat(128, 0)
    weight = np.clip(10 * (across - 0.4), 0, 1)
    light = 50 + 10 * across
    assert seam(light, light, weight) == 1
    assert seam(light, light + 5, weight) == 1
    # What is changed beyond the rim is none of its business.
    assert seam(light, light + 20 * (across > 0.7), weight) == 1
    faded, cut = light + 20 * weight, light + 20 * (across > 0.45)
    softly, sharply = seam(light, faded, weight), seam(light, cut, weight)
    assert softly is not None and sharply is not None and min(softly, sharply) > 2
    assert seam(light, cut, np.ones_like(weight)) is None
