import os
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from styleclip_rt.bundle import Bundle
from styleclip_rt.checkpoints import mapper_file
from styleclip_rt.errors import StyleClipError
from styleclip_rt.files import alone_in
from styleclip_rt.models.generator import fold, unfold
from styleclip_rt.models.mapper import PromptMapper
from styleclip_rt.training.latent_dataset import generate
from styleclip_rt.training.mapper import MapperSettings, MapperTrainer
from tests.tiny import tiny_bundle
from tests.training.mapper_run import SETTINGS, trainer

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module", autouse=True)
def one_thread() -> Iterator[None]:
    """As in the processes that are compared with: sums in another order differ in the last bit."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="module")
def latents(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("latents")
    generate(tiny_bundle(), folder, train=6, val=3)
    return folder


@pytest.fixture(scope="module")
def whole(latents: Path, tmp_path_factory: pytest.TempPathFactory) -> MapperTrainer:
    run = trainer(latents, tmp_path_factory.mktemp("whole"))
    run.run()
    return run


def process(*arguments: object, **environment: str) -> subprocess.Popen[bytes]:
    command = [sys.executable, ROOT / "tests" / "training" / "mapper_run.py", *arguments]
    paths = os.pathsep.join([str(ROOT), *os.environ.get("PYTHONPATH", "").split(os.pathsep)])
    inherited = os.environ | {"PYTHONPATH": paths, "OMP_NUM_THREADS": "1"}
    return subprocess.Popen(
        [str(part) for part in command], env=inherited | environment, stderr=subprocess.DEVNULL
    )


def test_a_run_learns_and_leaves_its_files(whole: MapperTrainer) -> None:
    totals = [row["total"] for row in whole.history]
    assert sum(totals[-3:]) < sum(totals[:3])
    assert {path.name for path in whole.folder.iterdir()} == {
        "config.json",
        "checkpoint.pt",
        "best.safetensors",
        "last.safetensors",
        "loss.png",
        "samples-000004.png",
        "samples-000008.png",
    }


def test_the_saved_mapper_is_the_trained_one(whole: MapperTrainer) -> None:
    mapper, origin = mapper_file.load(whole.folder / "last.safetensors")
    assert isinstance(mapper, PromptMapper)
    assert (origin.bundle, mapper.config.prompts) == ("tiny", SETTINGS.prompts)
    w_plus, text = torch.randn(2, 11, 16), mapper.texts
    offset = mapper(w_plus, text)
    torch.testing.assert_close(offset, whole.mapper(w_plus, text))
    assert offset[:, 3:].any() and not offset[:, :3].any()


def test_a_killed_run_goes_on_to_the_same_weights(
    whole: MapperTrainer, latents: Path, tmp_path: Path
) -> None:
    killed = process(latents, tmp_path, 5)
    assert killed.wait() == -signal.SIGKILL
    run = trainer(latents, tmp_path)
    assert run.resume()
    assert run.step == 3
    run.run()
    assert run.history == whole.history
    for name, value in whole.mapper.state_dict().items():
        assert torch.equal(run.mapper.state_dict()[name], value), name


def test_two_processes_train_as_one(whole: MapperTrainer, latents: Path, tmp_path: Path) -> None:
    pytest.importorskip("accelerate")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = str(free.getsockname()[1])
    ranks = [
        process(
            latents,
            tmp_path,
            WORLD_SIZE="2",
            RANK=str(rank),
            LOCAL_RANK=str(rank),
            MASTER_ADDR="127.0.0.1",
            MASTER_PORT=port,
            ACCELERATE_USE_CPU="1",
        )
        for rank in range(2)
    ]
    assert [rank.wait() for rank in ranks] == [0, 0]
    state = torch.load(tmp_path / "checkpoint.pt", weights_only=True)
    for row, one in zip(state["history"], whole.history, strict=True):
        for name in ("total", "clip", "id", "l2", "preserve"):
            assert row[name] == pytest.approx(one[name], rel=1e-3, abs=1e-4)


def test_stops_when_validation_no_longer_improves(latents: Path, tmp_path: Path) -> None:
    settings = replace(SETTINGS, learning_rate=1e-12, network_rate=1e-12, val_every=1, patience=2)
    run = trainer(latents, tmp_path, settings)
    run.run()
    assert run.step < settings.steps


def test_directions_start_where_the_bundle_has_measured_the_look(
    latents: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def lead(
        _: Bundle, texts: torch.Tensor, start: torch.Tensor, reading: float, hold: tuple[str, ...]
    ) -> torch.Tensor:
        assert hold == ("glasses",)
        return torch.full_like(start[:, 0], 0.1 * reading)

    monkeypatch.setattr(Bundle, "lead", lead)
    bundle = tiny_bundle()
    settings = replace(SETTINGS, lead=0.5, hold=("glasses",), steps=0)
    run = MapperTrainer(bundle, latents, tmp_path, settings)
    w = run.train.w(range(6))
    measured = (fold(unfold(w) + 0.05) - w).mean(0)
    moves = run.mapper.directions.detach()
    torch.testing.assert_close(moves[0, 0], moves[1, -1])
    assert torch.nn.functional.cosine_similarity(moves[0, 0], measured, dim=0) > 0.99
    run.run()
    untrained, _ = mapper_file.load(tmp_path / "best.safetensors")
    assert isinstance(untrained, PromptMapper)
    torch.testing.assert_close(untrained.directions, moves)


def test_other_settings_do_not_continue_a_run(whole: MapperTrainer, latents: Path) -> None:
    with pytest.raises(StyleClipError, match="a run with other settings"):
        trainer(latents, whole.folder, replace(SETTINGS, l2=1.0)).resume()


@pytest.mark.parametrize("kept", [0, 10, 1000, -1])
def test_a_damaged_checkpoint_is_one_sentence(
    whole: MapperTrainer, latents: Path, tmp_path: Path, kept: int
) -> None:
    content = (whole.folder / "checkpoint.pt").read_bytes()
    (tmp_path / "checkpoint.pt").write_bytes(content[:kept])
    with pytest.raises(StyleClipError, match=r"checkpoint\.pt is damaged: delete it"):
        trainer(latents, tmp_path).resume()


@pytest.mark.parametrize("change", ["step", "mapper", "optimiser", "history"])
def test_a_checkpoint_that_lacks_something_is_damaged(
    whole: MapperTrainer, latents: Path, tmp_path: Path, change: str
) -> None:
    state = torch.load(whole.folder / "checkpoint.pt", weights_only=True)
    for value in ({}, None):
        torch.save(state | {change: value}, tmp_path / "checkpoint.pt")
        if change == "history" and value == {}:
            continue
        with pytest.raises(StyleClipError, match="is damaged"):
            trainer(latents, tmp_path).resume()


def test_a_full_disk_is_one_sentence(
    latents: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    resource = pytest.importorskip("resource")
    run = trainer(latents, tmp_path / "run")
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (5000, hard))
    try:
        with pytest.raises(StyleClipError, match="cannot be written"):
            run.run()
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert {path.name for path in run.folder.iterdir()} == {"config.json"}
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(StyleClipError, match="cannot write to"):
        trainer(latents, tmp_path / "file").run()


def test_two_runs_do_not_share_a_folder(latents: Path, tmp_path: Path) -> None:
    with alone_in(tmp_path), pytest.raises(StyleClipError, match="another process is at work"):
        trainer(latents, tmp_path).run()


def test_equal_runs_leave_equal_files(whole: MapperTrainer, latents: Path, tmp_path: Path) -> None:
    run = trainer(latents, tmp_path)
    run.run()
    for name in ("best.safetensors", "last.safetensors"):
        assert (tmp_path / name).read_bytes() == (whole.folder / name).read_bytes()


def other_bundle() -> Bundle:
    bundle = tiny_bundle()
    with torch.no_grad():
        bundle.generator.affines()[0].weight.add_(1)
    return bundle


def test_latents_of_another_generator_are_refused(latents: Path, tmp_path: Path) -> None:
    with pytest.raises(StyleClipError, match="faces of the bundle 'tiny'"):
        MapperTrainer(other_bundle(), latents, tmp_path, SETTINGS)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"prompts": ()}, "at least one prompt"),
        ({"prompts": ("old", " ")}, "none that is empty"),
        ({"prompts": ("old", "old")}, "given twice"),
        ({"steps": 0}, "steps must be at least 1"),
        ({"learning_rate": 0.0}, "learning_rate must be positive"),
        ({"l2": -1.0}, "l2 must not be negative"),
    ],
)
def test_bad_settings_say_what_is_wrong(change: dict[str, object], message: str) -> None:
    with pytest.raises(StyleClipError, match=message):
        MapperSettings(**({"prompts": ("old",)} | change))
