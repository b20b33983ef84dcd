import json
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from styleclip_rt import cli
from styleclip_rt.runtime import torch_networks
from tests.tiny import tiny_bundle


@pytest.fixture(autouse=True)
def tiny(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """`ffhq-mobile` stands for the tiny bundle; any other name is looked for as usual."""
    real = torch_networks.load_bundle
    monkeypatch.setenv("STYLECLIP_RT_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(
        torch_networks,
        "load_bundle",
        lambda name: tiny_bundle() if name == "ffhq-mobile" else real(name),
    )


def run(monkeypatch: pytest.MonkeyPatch, *arguments: str) -> int:
    monkeypatch.setattr("sys.argv", ["styleclip", *arguments])
    try:
        cli.main()
    except SystemExit as exit_:
        return int(exit_.code or 0)
    return 0


def test_edit_writes_pictures(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    assert run(monkeypatch, "edit", "red hair", "--seed", "7", "--out", str(tmp_path / "o")) == 0
    assert (tmp_path / "o" / "comparison.png").is_file()


def test_several_prompts_and_seeds_get_folders(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    arguments = ["red hair", "Old!", "--seed", "1", "--seed", "2", "--out", str(tmp_path)]
    assert run(monkeypatch, "edit", *arguments) == 0
    assert {p.name for p in tmp_path.iterdir() if p.name != "cache"} == {
        "red-hair-seed1",
        "red-hair-seed2",
        "old-seed1",
        "old-seed2",
    }


def test_an_edit_goes_on_from_a_saved_latent(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    assert run(monkeypatch, "edit", "red hair", "--out", str(tmp_path / "a")) == 0
    latent = str(tmp_path / "a" / "latent.safetensors")
    assert run(monkeypatch, "edit", "old", "--latent", latent, "--out", str(tmp_path / "b")) == 0
    assert run(monkeypatch, "edit", "old", "--mean", "--out", str(tmp_path / "c")) == 0


def test_text_outside_the_vocabulary_works_and_says_so(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(monkeypatch, "edit", "a red velociraptor", "--out", str(tmp_path)) == 0
    assert "of the prompt's words in training" in capsys.readouterr().err


def _file(tmp_path: Path) -> str:
    (tmp_path / "file").write_text("here")
    return str(tmp_path / "file" / "under")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["edit", ""], "empty"),
        (["edit", "x" * 10_000], "10000 characters"),
        (["edit", "old", "--bundle", "nowhere"], "nowhere"),
        (["edit", "old", "--steps", "0"], "steps"),
        (["edit", "old", "--l2", "-1"], "l2 must not be negative"),
        (["edit", "old", "--layers", "top"], "unknown layer group"),
        (["edit", "old", "--seed", "1", "--mean"], "only one of"),
        (["edit", "old", "--latent", "missing.safetensors"], "missing.safetensors"),
        (["edit", "old", "--steps", "many"], "steps"),
        (["edit"], "PROMPT"),
    ],
)
def test_bad_input_gets_one_sentence_and_code_2(
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    tmp_path: Path,
    arguments: list[str],
    message: str,
) -> None:
    assert run(monkeypatch, *arguments, "--out", str(tmp_path / "o")) == 2
    error = capsys.readouterr().err
    assert message in error
    assert "Traceback" not in error


def test_unwritable_folder_is_found_before_the_work(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    assert run(monkeypatch, "edit", "old", "--out", _file(tmp_path)) == 2
    assert "--out" in capsys.readouterr().err


def test_full_disk_leaves_nothing_half_written(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    def full(*_: object, **__: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("styleclip_rt.runtime.results.save_latents", full)
    out = tmp_path / "o"
    assert run(monkeypatch, "edit", "old", "--out", str(out)) == 2
    assert "No space left" in capsys.readouterr().err
    assert list(out.iterdir()) == []


def test_a_foreign_latent_is_refused(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    save_file({"latent": torch.zeros(1, 3)}, tmp_path / "l.safetensors")
    arguments = ["edit", "old", "--latent", str(tmp_path / "l.safetensors")]
    assert run(monkeypatch, *arguments, "--out", str(tmp_path / "o")) == 2
    assert "[1, 16]" in capsys.readouterr().err


def test_info_names_versions(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(monkeypatch, "info") == 0
    told = capsys.readouterr().out
    assert torch.__version__ in told
    assert "engine torchscript: yes" in told


def test_prompts_that_look_alike_as_folders_lose_nothing(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    long = "red hair, " * 8
    prompts = ["red hair", "red-hair!", long + "old", long + "red", "red hair"]
    arguments = ["edit", *prompts, "--anyway", "--seed", "1", "--steps", "1", "--out"]
    assert run(monkeypatch, *arguments, str(tmp_path / "o")) == 0
    told = [json.loads((p / "edit.json").read_text()) for p in (tmp_path / "o").iterdir()]
    assert sorted(each["prompt"] for each in told) == sorted(set(prompts))


def test_words_that_clip_has_never_seen_ask_first(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "o"
    for prompt in ("angry", "红色头发", "surprised?!"):
        assert run(monkeypatch, "edit", "red hair", prompt, "--out", str(out)) == 2
        assert "repeat it with --anyway" in capsys.readouterr().err
        assert list(out.iterdir()) == []
    assert run(monkeypatch, "edit", "angry", "--anyway", "--steps", "1", "--out", str(out)) == 0
    assert "has seen 0% of the prompt's words" in capsys.readouterr().err


def test_a_prompt_that_is_cut_is_told_where(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    prompt = "red " * 74 + "old hair and more"
    assert run(monkeypatch, "edit", prompt, "--steps", "1", "--out", str(tmp_path / "o")) == 0
    told = capsys.readouterr().err
    assert "as far as" in told and "red old'; the rest is cut off" in told
    assert run(monkeypatch, "edit", "red " * 75, "--steps", "1", "--out", str(tmp_path / "o")) == 0
    assert "cut off" not in capsys.readouterr().err


def test_every_latent_of_a_file_is_edited(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    np.save(tmp_path / "l.npy", np.zeros((3, 11, 16), np.float64))
    arguments = ["edit", "old", "--steps", "1", "--latent", str(tmp_path / "l.npy"), "--out"]
    assert run(monkeypatch, *arguments, str(tmp_path / "o")) == 0
    assert {p.name for p in (tmp_path / "o").iterdir()} == {"old-face1", "old-face2", "old-face3"}
