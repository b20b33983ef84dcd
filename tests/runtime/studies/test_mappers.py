from pathlib import Path
from types import SimpleNamespace

import pytest
from PIL import Image

from styleclip_rt.checkpoints import native
from styleclip_rt.errors import StyleClipError
from styleclip_rt.runtime.editor import Editor
from styleclip_rt.runtime.mapper import MapperRuntime
from styleclip_rt.runtime.studies import mappers as mapper_study
from styleclip_rt.runtime.studies.mappers import MapperStudy, summary
from styleclip_rt.training.latent_dataset import generate
from tests.runtime.test_mapper_runtime import PROMPTS, prompt_mapper
from tests.tiny import tiny_bundle


@pytest.fixture
def judged(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Stand-ins for dlib's probes: every second face has the look, every edit succeeds."""
    calls: list[str] = []
    faces: list[object] = []

    def read(_: Image.Image) -> object:
        faces.append(SimpleNamespace(detected=True, number=len(faces)))
        return faces[-1]

    def judge(prompt: str, original: SimpleNamespace, edited: object) -> object:
        calls.append(prompt)
        return SimpleNamespace(
            prompt=prompt,
            success=True,
            before=0.0,
            after=1.0,
            identity_cosine=0.97,
            same_person=True,
            collateral=SimpleNamespace(colour=2.0, background=1.0),
        )

    monkeypatch.setattr(mapper_study, "Face", SimpleNamespace(read=read))
    monkeypatch.setattr(mapper_study, "judge", judge)
    monkeypatch.setattr(mapper_study, "Regions", lambda face: SimpleNamespace(face=face))
    monkeypatch.setattr(
        mapper_study, "has_look", lambda prompt, regions: regions.face.number % 2 == 0
    )
    return calls


def test_compares_the_same_faces_and_continues(judged: list[str], tmp_path: Path) -> None:
    bundle = tiny_bundle(steps=1)
    generate(bundle, tmp_path / "latents", train=1, val=6)
    native.save(prompt_mapper(), tmp_path / "hair.safetensors")
    runtime = MapperRuntime(bundle, {"hair": tmp_path / "hair.safetensors"})
    editor = Editor(bundle, device="cpu", precision="fp32")

    def rows() -> list[mapper_study.ValidationEdit]:
        return MapperStudy(runtime, tmp_path / "latents", 2, tmp_path / "out", editor=editor).run()

    first = rows()
    assert {(row.prompt, row.face, row.method) for row in first} == {
        (prompt, face, method)
        for prompt in PROMPTS
        for face in (1, 3)
        for method in ("mapper", "optimiser")
    }
    assert (tmp_path / "out" / "sheet.png").is_file()
    assert "| old | mapper | 2 | 2/2 | 2/2 | 0.970 (0.970) | 2.0 | 1.0 |" in summary(first)
    edits = len(judged)
    assert rows() == first
    assert len(judged) == edits


def test_a_folder_keeps_the_edits_of_one_study(judged: list[str], tmp_path: Path) -> None:
    bundle = tiny_bundle(steps=1)
    generate(bundle, tmp_path / "latents", train=1, val=4)
    native.save(prompt_mapper(), tmp_path / "hair.safetensors")

    def study(strength: float = 1.0, editor: Editor | None = None) -> MapperStudy:
        runtime = MapperRuntime(bundle, {"hair": tmp_path / "hair.safetensors"})
        return MapperStudy(runtime, tmp_path / "latents", 1, tmp_path / "out", strength, editor)

    study().run()
    study(editor=Editor(bundle, device="cpu", precision="fp32"))
    with pytest.raises(StyleClipError, match=r"made otherwise \(other strength\)"):
        study(strength=0.5)
    with pytest.raises(StyleClipError, match=r"made otherwise \(other settings\)"):
        study(editor=Editor(tiny_bundle(steps=2), device="cpu", precision="fp32"))
    other = prompt_mapper()
    other.directions.data.add_(1)
    native.save(other, tmp_path / "hair.safetensors")
    with pytest.raises(StyleClipError, match=r"made otherwise \(other mappers\)"):
        study()
    (tmp_path / "out" / "study.json").unlink()
    with pytest.raises(StyleClipError, match="does not say what its edits were made with"):
        study()
