import json
from pathlib import Path

import pytest
import torch
from PIL import Image

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


def test_an_editor_applies_looks_that_add_up() -> None:
    editor = Editor("tiny", device="cpu")
    (start,) = from_seeds(editor.engine.networks, [1], 0.7)
    both = editor.apply(start, [Move("smiling", 0.5), Move("old")])
    other_way = editor.apply(start, [Move("a smile", 0.5), Move("serious", 0.5)])
    same = editor.apply(start, [Move("old", 0.0)])
    assert both.image != both.original
    assert other_way.image == same.image == same.original
