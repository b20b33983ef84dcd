import json
from pathlib import Path

import pytest
import torch
from PIL import Image, ImageChops

from styleclip_rt import bundle as bundle_module
from styleclip_rt import cli, looks
from styleclip_rt.bundle import mappers
from styleclip_rt.checkpoints import mapper_file
from styleclip_rt.looks import Look
from styleclip_rt.models.generator import fingerprint, style_channels
from styleclip_rt.models.looks import StyleDirections, StyleDirectionsConfig
from styleclip_rt.runtime import torch_networks
from styleclip_rt.runtime.editor import Editor
from styleclip_rt.runtime.moves import Move
from styleclip_rt.runtime.starts import from_seeds
from tests.tiny import tiny_bundle


@pytest.fixture(autouse=True)
def tiny(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """A tiny bundle with two looks: one that goes both ways, one that does not."""
    for module in (bundle_module, torch_networks):
        monkeypatch.setattr(module, "load_bundle", lambda name: tiny_bundle())
    generator = tiny_bundle().generator
    torch.manual_seed(0)
    config = StyleDirectionsConfig(style_channels(generator), ("smiling", "old"), 4)
    moves = StyleDirections(config)
    moves.directions.normal_()
    path = tmp_path / "looks.safetensors"
    mapper_file.save(moves, path, mapper_file.Origin("tiny", fingerprint(generator)))
    monkeypatch.setattr(mappers, "shipped", lambda: {"looks": path})
    table = (
        Look("smiling", ("a smile",), ("serious",), "looks", "smiling", "", (), -1.0, 1.0),
        Look("old", (), (), "looks", "old", "", (), 0.0, 1.0),
    )
    monkeypatch.setattr(looks, "looks", lambda: table)


def run(monkeypatch: pytest.MonkeyPatch, *arguments: object) -> int:
    monkeypatch.setattr("sys.argv", ["styleclip", *map(str, arguments)])
    try:
        cli.main()
    except SystemExit as exit_:
        return int(exit_.code or 0)
    return 0


def test_looks_are_listed_and_drawn(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(monkeypatch, "looks") == 0
    assert "smiling (less: serious)  -1 to 1\n    a smile" in capsys.readouterr().out
    sheet = tmp_path / "sheet.png"
    assert run(monkeypatch, "looks", "--sheet", sheet, "--seed", 1, "--seed", 2) == 0
    with Image.open(sheet) as image:
        assert image.width > 6 * 192


def test_looks_on_a_face(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "out"
    given = ("look", "Serious", "old", "--strength", 0.5, "--strength", 1, "--seed", 3)
    assert run(monkeypatch, *given, "--out", out) == 0
    moves = json.loads((out / "edit.json").read_text())["moves"]
    assert moves[0] == {"mapper": "looks", "prompt": "smiling", "strength": -0.5}
    for bad in (("look", "a hat"), ("look", "old", "--strength", -1), (*given[:3], *given[3:5])):
        assert run(monkeypatch, *bad, "--out", tmp_path / "none") == 2
    said = capsys.readouterr().err
    assert "no look 'a hat'" in said and "must be from 0 to 1, but is -1" in said
    assert "--strength once for each of the 2 looks" in said
    assert not (tmp_path / "none").exists()


def test_a_sentence_names_looks(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "out"
    assert run(monkeypatch, "look", "an elderly man, slightly smiling", "--out", out) == 0
    moves = json.loads((out / "edit.json").read_text())["moves"]
    assert [(move["prompt"], move["strength"]) for move in moves] == [
        ("old", 1.0),
        ("smiling", 0.5),
    ]
    assert run(monkeypatch, "look", "old with a beard", "--out", tmp_path / "none") == 2
    assert "no look for 'beard'" in capsys.readouterr().err


def test_an_edit_applies_what_looks_cover(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """And the optimiser makes the rest; it makes all where it is asked for."""
    one, both, plain = tmp_path / "one", tmp_path / "both", tmp_path / "plain"
    assert run(monkeypatch, "edit", "not smiling", "--seed", 3, "--out", one) == 0
    told = json.loads((one / "edit.json").read_text())
    assert (told["looks"], told["steps_done"]) == ("serious 1", 0)
    assert not (one / "loss.png").exists()
    assert run(monkeypatch, "edit", "old with red hair", "--seed", 3, "--out", both) == 0
    told = json.loads((both / "edit.json").read_text())
    assert (told["looks"], told["rest"], told["steps_done"]) == ("old 1", "red hair", 3)
    said = capsys.readouterr()
    assert "(old 1; by the optimiser: red hair)" in said.out
    assert "no look for 'red hair'" in said.err
    for how in ("--plain", "--steps=2"):
        assert run(monkeypatch, "edit", "old", "--seed", 3, how, "--out", plain) == 0
        assert "looks" not in json.loads((plain / "edit.json").read_text())
    assert run(monkeypatch, "edit", "red hair", "--seed", 3, "--out", plain) == 0
    assert "no look is named by 'red hair'" in capsys.readouterr().err


def test_what_is_to_go_away_is_left_out_or_refused(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = ("--out", tmp_path / "out")
    assert run(monkeypatch, "edit", "smiling, no glasses", *out) == 0
    assert "nothing here makes 'no glasses': it is left out" in capsys.readouterr().err
    assert run(monkeypatch, "edit", "without glasses", *out) == 2
    assert "would rather do the opposite" in capsys.readouterr().err


def test_what_looks_made_is_gone_on_from(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    first = tmp_path / "first"
    assert run(monkeypatch, "edit", "smiling", "--seed", 3, "--out", first) == 0
    latent = first / "latent.safetensors"
    for name, words in (
        ("a", ("edit", "serious")),
        ("b", ("look", "old")),
        ("c", ("edit", "red hair")),
    ):
        assert run(monkeypatch, *words, "--latent", latent, "--out", tmp_path / name) == 0
    with (
        Image.open(tmp_path / "a" / "edited.png") as back,
        Image.open(first / "original.png") as start,
    ):
        assert max(high for _, high in ImageChops.difference(back, start).getextrema()) <= 1


def test_an_editor_applies_looks_that_add_up() -> None:
    editor = Editor("tiny", device="cpu")
    (start,) = from_seeds(editor.engine.networks, [1], 0.7)
    both = editor.apply(start, [Move("smiling", 0.5), Move("old")])
    other_way = editor.apply(start, [Move("a smile", 0.5), Move("serious", 0.5)])
    same = editor.apply(start, [Move("old", 0.0)])
    assert both.image != both.original
    assert other_way.image == same.image == same.original
