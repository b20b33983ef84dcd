import json
from pathlib import Path

import numpy as np
import pytest
from PIL import ExifTags, Image

from styleclip_rt.runtime import inversion
from tests.cli.test_edit import run
from tests.cli.test_edit import tiny as tiny

PORTRAIT = Path(__file__).parents[1] / "golden" / "photos" / "official.jpg"


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(inversion.QUALITIES, "fast", 2)
    monkeypatch.setitem(inversion.REFINING, "fast", 1)


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
        "residue.npy",
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
        (["edit", "old", "--strip-metadata"], "goes with --image"),
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
    for name in ("edited.jpg", "original.png", "comparison.png", "Edited.JPG"):
        mine = tmp_path / name
        mine.write_bytes(PORTRAIT.read_bytes())
        for command in (("edit", "old", "--steps", "1"), ("mapper", "apply", "smiling")):
            assert run(monkeypatch, *command, "--image", str(mine), "--out", str(tmp_path)) == 2
            assert "would replace" in capsys.readouterr().err
        assert mine.read_bytes() == PORTRAIT.read_bytes()
    assert run(monkeypatch, "invert", str(mine.with_name("comparison.png")), "--out", str(tmp_path))
    assert "would replace" in capsys.readouterr().err


def test_an_inverted_photograph_is_never_overwritten(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    me = str(tmp_path / "me")
    assert run(monkeypatch, "invert", str(PORTRAIT), "--out", me) == 0
    latent = (tmp_path / "me" / "latent.safetensors").read_bytes()
    for start in (["--image", me], ["--seed", "1"]):
        assert run(monkeypatch, "edit", "old", "--steps", "1", *start, "--out", me) == 2
        assert "would spoil" in capsys.readouterr().err
    assert (tmp_path / "me" / "latent.safetensors").read_bytes() == latent


def _photograph(kind: str, folder: Path) -> Path:
    """A portrait as a file of some kind."""
    portrait, exif = Image.open(PORTRAIT).convert("RGB"), Image.Exif()
    if kind == "palette":
        portrait.quantize(64).save(folder / "a.png", transparency=3)
    elif kind == "rotated":
        exif[ExifTags.Base.Orientation] = 6
        portrait.rotate(90, expand=True).save(folder / "a.jpg", exif=exif)
    elif kind == "16 bit":
        deep = np.asarray(portrait.convert("L")).astype(np.uint16) * 257
        Image.fromarray(deep).save(folder / "a.png")
    elif kind == "no suffix":
        portrait.save(folder / "a", "JPEG")
    else:
        suffix = {"CMYK": ".jpg", "1": ".png", "L": ".gif"}[kind]
        portrait.convert(kind).save(folder / f"a{suffix}")
    return next(folder.glob("a*"))


@pytest.mark.parametrize(
    ("kind", "suffix"),
    [
        ("palette", ".png"),
        ("rotated", ".jpg"),
        ("16 bit", ".png"),
        ("no suffix", ".jpeg"),
        ("CMYK", ".jpg"),
        ("1", ".png"),
        ("L", ".png"),
    ],
)
def test_any_kind_of_picture_is_edited(
    kind: str, suffix: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    mine = _photograph(kind, tmp_path)
    before = mine.read_bytes()
    edit = ("edit", "old", "--steps", "1", "--image", str(mine), "--out", str(tmp_path))
    assert run(monkeypatch, *edit) == 0
    assert Image.open(tmp_path / f"edited{suffix}").size == Image.open(PORTRAIT).size
    assert mine.read_bytes() == before


def test_where_it_was_taken_is_kept_and_said_or_left_out(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    exif = Image.Exif()
    exif.get_ifd(ExifTags.IFD.GPSInfo)[ExifTags.GPS.GPSLatitudeRef] = "N"
    Image.open(PORTRAIT).save(tmp_path / "me.jpg", exif=exif)
    arguments = ("edit", "old", "--steps", "1", "--image", str(tmp_path / "me.jpg"), "--out")
    for options, kept in (((), True), (("--strip-metadata",), False)):
        out = tmp_path / str(kept)
        assert run(monkeypatch, *arguments, str(out), *options) == 0
        assert ("--strip-metadata" in capsys.readouterr().err) == kept
        told = Image.open(out / "edited.jpg").getexif()
        assert bool(told.get_ifd(ExifTags.IFD.GPSInfo)) == kept
        assert told[ExifTags.Base.ImageDescription] == "edited: old"


def group(tmp_path: Path) -> Path:
    """Two people side by side."""
    one, two = Image.open(PORTRAIT), Image.open(PORTRAIT.with_name("sargent.jpg"))
    size = (300, 375)
    both = Image.new("RGB", (600, 375))
    both.paste(one.resize(size), (0, 0))
    both.paste(two.resize(size), (300, 0))
    both.save(tmp_path / "group.png")
    return tmp_path / "group.png"


def test_several_faces_are_edited_in_one_picture(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    picture, us, out = str(group(tmp_path)), str(tmp_path / "us"), tmp_path / "o"
    assert run(monkeypatch, "invert", picture, "--face", "all", "--out", us) == 0
    assert {p.name for p in Path(us).iterdir()} == {"face1", "face2"}
    edit = ("edit", "--steps", "1", "--image", us, "--out", str(out))
    assert run(monkeypatch, *edit, "--face", "2", "red hair", "--face", "1", "old") == 0
    assert {p.name for p in out.iterdir()} == {
        "edited.png",
        "comparison.png",
        "edit.json",
        "loss-1.png",
        "loss-2.png",
        "latent-1.safetensors",
        "latent-2.safetensors",
    }
    assert Image.open(out / "edited.png").size == (600, 375)
    told = json.loads((out / "edit.json").read_text())
    assert [face["prompt"] for face in told["faces"]] == ["red hair", "old"]
    for faces in (["--face", "all"], ["--face", "1", "--face", "2"]):
        assert run(monkeypatch, *edit, "old", *faces) == 0
        told = json.loads((out / "edit.json").read_text())
        assert [face["prompt"] for face in told["faces"]] == ["old", "old"]
    assert run(monkeypatch, *edit, "old", "--face", "2") == 0
    assert (out / "latent.safetensors").exists() and not (out / "latent-1.safetensors").exists()
    assert run(monkeypatch, *edit, "old", "red hair", "--face", "all") == 0
    assert (out / "old" / "edited.png").is_file() and (out / "red-hair" / "edited.png").is_file()

    capsys.readouterr()
    for arguments, message in (
        (["--face", "1", "old", "--face", "2", "red hair", "smiling"], "3 for 2"),
        (["--face", "1", "old", "--face", "1", "red hair"], "named twice"),
        (["--face", "1", "old", "--face", "all"], "is neither"),
        (["--face", "1", "old", "--face", "3"], "no face '3'"),
    ):
        assert run(monkeypatch, *edit, *arguments) == 2
        assert message in capsys.readouterr().err
