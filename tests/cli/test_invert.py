from pathlib import Path

import pytest
from PIL import Image

from styleclip_rt.runtime import inversion
from tests.cli.test_edit import run
from tests.cli.test_edit import tiny as tiny

PORTRAIT = Path(__file__).parents[1] / "golden" / "photos" / "official.jpg"


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(inversion.QUALITIES, "fast", 2)


def test_invert_once_edit_often(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    me, before = tmp_path / "me", PORTRAIT.read_bytes()
    assert run(monkeypatch, "invert", str(PORTRAIT), "--out", str(me)) == 0
    assert {p.name for p in me.iterdir()} == {
        "photograph.json",
        "photograph.jpg",
        "latent.safetensors",
        "points.npy",
        "found.png",
        "comparison.png",
    }
    arguments = ("edit", "red hair", "--steps", "1", "--out", str(tmp_path / "o"), "--image")
    assert run(monkeypatch, *arguments, str(me)) == 0
    assert Image.open(tmp_path / "o" / "edited.jpg").size == Image.open(PORTRAIT).size
    assert run(monkeypatch, *arguments, str(PORTRAIT), "--face", "1") == 0
    assert PORTRAIT.read_bytes() == before


def test_show_only_draws(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    assert run(monkeypatch, "invert", str(PORTRAIT), "--show", "--out", str(tmp_path / "o")) == 0
    assert [p.name for p in (tmp_path / "o").iterdir()] == ["found.png"]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["invert", "none.jpg"], "does not exist"),
        (["invert", str(PORTRAIT), "--face", "9"], "no face '9'"),
        (["invert", str(PORTRAIT), "--quality", "x"], "unknown quality"),
        (["edit", "old", "--image", str(PORTRAIT), "--seed", "1"], "only one of --seed"),
        (["edit", "old", "--face", "1"], "go with --image"),
        (["edit", "old", "--image", "none.jpg"], "does not exist"),
    ],
)
def test_bad_input_gets_one_sentence(
    arguments: list[str],
    message: str,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert run(monkeypatch, *arguments, "--out", str(tmp_path / "o")) == 2
    error = capsys.readouterr().err
    assert message in error and "Traceback" not in error


def test_the_photograph_itself_is_never_overwritten(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    mine = tmp_path / "edited.jpg"
    mine.write_bytes(PORTRAIT.read_bytes())
    arguments = ("edit", "old", "--steps", "1", "--image", str(mine), "--out", str(tmp_path))
    assert run(monkeypatch, *arguments) == 2
    assert "would overwrite" in capsys.readouterr().err
    assert mine.read_bytes() == PORTRAIT.read_bytes()
