"""Exported files of strangers: what they say is checked before anything of them is loaded."""

import json
import zipfile
from pathlib import Path

import pytest
import torch
from click.testing import CliRunner

from styleclip_rt import engines
from styleclip_rt.cli.export import verify
from styleclip_rt.engines.export_info import KEY, ExportInfo, Port
from styleclip_rt.errors import ExportError

INFO = ExportInfo(
    "mapping",
    "tiny",
    "ab" * 32,
    "fp32",
    "portable",
    "0",
    "none",
    (Port("z", ("batch", 4)),),
    (Port("w", ("batch", 4)),),
    settings={"steps": 3},
    mapper="look",
    prompts=("red hair",),
)


class Innocent(torch.nn.Module):
    def forward(self, z: torch.Tensor) -> torch.Tensor:
        return z


def torchscript(path: Path, module: torch.nn.Module, text: str | None) -> Path:
    extra = {} if text is None else {f"{KEY}.json": text}
    torch.jit.save(torch.jit.script(module), str(path), _extra_files=extra)
    return path


def loud(mark: Path) -> torch.nn.Module:
    """Writes a file when it is loaded, and another when it is run."""

    class Loud(torch.nn.Module):
        @torch.jit.export
        def __getstate__(self) -> tuple[str, bool]:
            return (self.mark, self.training)

        @torch.jit.export
        def __setstate__(self, state: tuple[str, bool]) -> None:
            self.mark = state[0]
            self.training = state[1]
            torch.save([1], state[0])

        def __init__(self) -> None:
            super().__init__()
            self.mark = str(mark)

        def forward(self, z: torch.Tensor) -> torch.Tensor:
            return z

    return Loud()


class Writes(torch.nn.Module):
    def __init__(self, mark: Path) -> None:
        super().__init__()
        self.mark = str(mark)

    def forward(self, z: torch.Tensor) -> torch.Tensor:
        return z + torch.from_file(self.mark, True, 4)


@pytest.mark.parametrize("text", [None, "{}", INFO.to_json()])
def test_code_in_an_archive_is_not_run(tmp_path: Path, text: str | None) -> None:
    mark = tmp_path / "mark"
    path = torchscript(tmp_path / "x.ts", loud(mark), text)
    torch.jit.load(str(path))  # what a careless loader would do
    mark.unlink()
    with pytest.raises(ExportError, match=r"__setstate__|does not say"):
        engines.load(path)
    done = CliRunner().invoke(verify, [str(path)])
    assert isinstance(done.exception, ExportError)
    assert not mark.exists()


def test_operators_that_write_files_are_refused(tmp_path: Path) -> None:
    path = torchscript(tmp_path / "x.ts", Writes(tmp_path / "mark"), INFO.to_json())
    with pytest.raises(ExportError, match="its code has from_file, which no export has"):
        engines.load(path)


def test_the_old_form_of_archives_is_refused(tmp_path: Path) -> None:
    path = torchscript(tmp_path / "x.ts", Innocent(), INFO.to_json())
    with zipfile.ZipFile(path, "a") as archive:
        archive.writestr("x/model.json", "{}")
    with pytest.raises(ExportError, match="of a form that no export has"):
        engines.load(path)


def test_other_weights_are_seen_before_the_file_is_loaded(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from styleclip_rt.export.table import build
    from styleclip_rt.export.verification import verify as compare
    from tests.tiny import tiny_bundle

    path = torchscript(tmp_path / "x.ts", Innocent(), INFO.to_json())
    monkeypatch.setattr(torch.jit, "load", lambda *_, **__: pytest.fail("it was loaded"))
    with pytest.raises(ExportError, match="other weights"):
        compare(build(tiny_bundle(), "mapping"), path)


def aotinductor(path: Path, *metadata: object) -> Path:
    with zipfile.ZipFile(path, "w") as archive:
        for i, part in enumerate(metadata):
            name = f"archive/data/aotinductor/model/{i}_metadata.json"
            archive.writestr(name, part if isinstance(part, str) else json.dumps(part))
        archive.writestr("archive/data/aotinductor/model/x.so", b"\x7fELF")
    return path


@pytest.mark.parametrize(
    ("metadata", "message"),
    [
        ([], "do not say what they are"),
        (["{"], "not a readable archive"),
        (["[1]"], "do not say what they are"),
        (["[" * 100_000], "not a readable archive"),
        ([{KEY: INFO.to_json()}, {KEY: "{}"}], "do not say what they are"),
        ([{"AOTI_DEVICE_KEY": "cpu"}], "does not say that it is"),
        ([{KEY: INFO.to_json(), "AOTI_DEVICE_KEY": "cuda"}], "was compiled for cuda, not for cpu"),
        ([{KEY: INFO.to_json()}], "was compiled for another device"),
    ],
)
def test_machine_code_of_strangers_is_not_loaded(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, metadata: list[object], message: str
) -> None:
    path = aotinductor(tmp_path / "x.pt2", *metadata)
    fail = lambda *_, **__: pytest.fail("it was loaded")  # noqa: E731
    monkeypatch.setattr(torch._inductor, "aoti_load_package", fail)
    with pytest.raises(ExportError, match=message):
        engines.load(path)


@pytest.mark.parametrize(
    "change",
    [
        {"bundle": "../../../owned"},
        {"bundle": "/etc"},
        {"bundle": ""},
        {"network": "../x"},
        {"mapper": "../x"},
        {"mapper": "a/b.safetensors"},
        {"mapper": "a\\b"},
        {"mapper": "a\nb"},
        {"mapper": 7},
        {"weights": "abc"},
        {"precision": "fp7"},
        {"flavour": "loud"},
        {"prompts": [1]},
        {"longest": {"batch": "x"}},
        {"longest": {"batch": -1}},
        {"settings": {"steps": "x"}},
        {"settings": {"stepz": 1}},
        {"inputs": [{"name": "z", "shape": [-1]}]},
        {"inputs": [{"name": "z", "shape": [1], "dtype": "float8"}]},
        {"inputs": [{"name": 1, "shape": [1]}]},
        {"more": 1},
    ],
)
def test_names_in_a_file_are_checked_where_they_are_read(
    tmp_path: Path, change: dict[str, object]
) -> None:
    assert ExportInfo.from_json(INFO.to_json(), "x") == INFO
    text = json.dumps(json.loads(INFO.to_json()) | change)
    path = torchscript(tmp_path / "x.ts", Innocent(), text)
    with pytest.raises(ExportError, match="does not say that it is"):
        engines.read_info(path)


def test_a_name_in_any_script_is_a_name(tmp_path: Path) -> None:
    text = json.dumps(json.loads(INFO.to_json()) | {"mapper": "рыжие волосы"})
    assert ExportInfo.from_json(text, "x").mapper == "рыжие волосы"
