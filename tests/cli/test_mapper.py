from pathlib import Path

import pytest
import torch

from styleclip_rt import bundle as bundle_module
from styleclip_rt import cli
from styleclip_rt.checkpoints import mapper_file
from styleclip_rt.runtime import torch_networks
from tests.tiny import tiny_bundle


@pytest.fixture(autouse=True)
def tiny(monkeypatch: pytest.MonkeyPatch) -> None:
    for module in (bundle_module, torch_networks):
        monkeypatch.setattr(module, "load_bundle", lambda name: tiny_bundle())


def run(monkeypatch: pytest.MonkeyPatch, *arguments: object) -> int:
    monkeypatch.setattr("sys.argv", ["styleclip", *map(str, arguments)])
    try:
        cli.main()
    except SystemExit as exit_:
        return int(exit_.code or 0)
    return 0


def test_from_latents_to_an_edit(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    latents, out = tmp_path / "latents", tmp_path / "mapper"
    assert run(monkeypatch, "dataset", "generate", "--train", 4, "--val", 2, "--out", latents) == 0
    assert (latents / "faces.png").is_file()
    train = ("mapper", "train", "--prompts", "Red hair, old", "--latents", latents, "--out", out)
    assert run(monkeypatch, *train, "--steps", 2, "--faces", 1, "--precision", "fp32") == 0
    best = out / "best.safetensors"
    assert "best validation loss" in capsys.readouterr().out
    keep = ("mapper", "keep", best, "--out", tmp_path / "old.safetensors", "--prompts")
    assert run(monkeypatch, *keep, "old") == 0
    assert (tmp_path / "old.safetensors").is_file()
    assert run(monkeypatch, *keep, "old, green hair") == 2
    assert "'green hair': choose from red hair, old" in capsys.readouterr().err
    assert run(monkeypatch, *keep, "red hair, old", "--strength", 1, "--strength", 1.2) == 0
    kept, _ = mapper_file.load(tmp_path / "old.safetensors")
    torch.testing.assert_close(kept.strengths, torch.tensor([1, 1.2]))
    assert run(monkeypatch, *keep, "old", "--strength", 1, "--strength", 1.2) == 2
    assert "once for each of the 1 prompts" in capsys.readouterr().err
    apply = ("mapper", "apply", best, "--out", tmp_path / "edit")
    assert run(monkeypatch, *apply, "--prompt", "red hair", "--strength", 0.8, "--seed", 3) == 0
    names = {path.name for path in (tmp_path / "edit").iterdir()}
    assert names == {
        "original.png",
        "edited.png",
        "comparison.png",
        "latent.safetensors",
        "edit.json",
    }
    again = ("--latent", tmp_path / "edit" / "latent.safetensors", "--prompt", "old")
    assert run(monkeypatch, *apply, *again) == 0
    assert run(monkeypatch, *apply, "--prompt", "green hair") == 2
    assert "choose from red hair, old" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["mapper", "apply", "nothing"], "there is no mapper 'nothing'"),
        (["mapper", "apply", "a", "b", "--prompt", "old"], "--prompt once for each of the 2"),
        (["mapper", "apply", "a", "--strength", "1", "--strength", "1"], "--strength once"),
        (["mapper", "apply", "a", "--seed", "1", "--latent", "x"], "only one of"),
        (["mapper", "train", "--prompts", "old", "--latents", "nowhere"], "holds no latents"),
        (["mapper", "train", "--prompts", "old,"], "none that is empty"),
        (["mapper", "train", "--prompts", "old", "--precision", "fp7"], "unknown precision"),
    ],
)
def test_bad_input_says_what_is_wrong(
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    arguments: list[str],
    message: str,
) -> None:
    monkeypatch.chdir(tmp_path)
    assert run(monkeypatch, *arguments) == 2
    assert message in capsys.readouterr().err
