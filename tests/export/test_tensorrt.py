"""What of TensorRT can be checked without a GPU: what is refused, and when an engine is stale."""

import dataclasses
import importlib.util
from pathlib import Path

import pytest
import torch

from styleclip_rt import engines
from styleclip_rt.cli import main
from styleclip_rt.engines import tensorrt
from styleclip_rt.engines.tensorrt import Built, TensorRTEngine, pack
from styleclip_rt.errors import ExportError
from styleclip_rt.export.table import build
from styleclip_rt.export.tensorrt import is_current
from styleclip_rt.export.verification import describe
from tests.tiny import tiny_bundle

INFO = dataclasses.replace(
    describe(build(tiny_bundle(), "mapping"), "tiny", "fp32", "portable", opset=20),
    longest={"batch": 4},
)
BUILT = Built("GPU sm_90", "11.4.0", "0123")


@pytest.fixture
def engine_file(tmp_path: Path) -> Path:
    path = tmp_path / "mapping.engine"
    path.write_bytes(pack(INFO, BUILT, b"plan\nof\nseveral lines"))
    return path


@pytest.mark.skipif(
    importlib.util.find_spec("tensorrt") is not None and torch.cuda.is_available(),
    reason="TensorRT may be here",
)
def test_without_tensorrt_a_sentence_says_what_to_do(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("styleclip_rt.bundle.load_bundle", lambda name: tiny_bundle())
    monkeypatch.setattr("sys.argv", ["styleclip", "export", "tensorrt", "--out", str(tmp_path)])
    with pytest.raises(SystemExit) as stopped:
        main()
    assert stopped.value.code == 2
    assert "error: TensorRT cannot build engines here: " in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []


def test_an_engine_is_current_only_where_nothing_changed(engine_file: Path) -> None:
    assert is_current(engine_file, INFO, BUILT)
    for change in ({"gpu": "GPU sm_80"}, {"tensorrt": "11.5.0"}, {"model": "4567"}):
        assert not is_current(engine_file, INFO, dataclasses.replace(BUILT, **change))
    assert not is_current(engine_file, dataclasses.replace(INFO, longest={"batch": 8}), BUILT)
    assert not is_current(engine_file.with_name("none.engine"), INFO, BUILT)
    engine_file.write_bytes(b"garbage")
    assert not is_current(engine_file, INFO, BUILT)


def test_a_stale_engine_is_not_loaded(engine_file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tensorrt, "here", lambda: (BUILT.gpu, "11.5.0"))
    with pytest.raises(
        ExportError, match=r"by TensorRT 11\.4\.0, and here are GPU sm_90 and 11\.5"
    ):
        TensorRTEngine(engine_file)


def test_files_and_devices_that_cannot_be(engine_file: Path) -> None:
    with pytest.raises(ExportError, match="TensorRT does not run on cpu"):
        TensorRTEngine(engine_file, "cpu")
    for content in (b"", b"garbage", b"{}\n{}\n"):
        engine_file.write_bytes(content)
        with pytest.raises(ExportError, match=r"make it with|export. of this version made"):
            TensorRTEngine(engine_file)


def test_a_batch_beyond_the_profile_is_refused() -> None:
    inputs = {"z": torch.zeros(5, 16).numpy(), "psi": torch.tensor(1.0).numpy()}
    with pytest.raises(ExportError, match="takes a batch of at most 4"):
        engines.checked(INFO, inputs)
