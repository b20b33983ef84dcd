from pathlib import Path
from types import SimpleNamespace

import pytest

from styleclip_rt.runtime.mapper import MapperRuntime
from styleclip_rt.runtime.studies import photographs
from tests.cli.test_edit import run
from tests.cli.test_edit import tiny as tiny


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--quality", "best"], "--quality goes with --images"),
        (["--looks"], "--looks goes with --images"),
        (["--images", ".", "--seeds", "3"], "do not go with --images"),
        (["--images", ".", "--precision", "bf16"], "do not go with --images"),
    ],
)
def test_what_does_not_go_together_gets_one_sentence(
    arguments: list[str],
    message: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert run(monkeypatch, "evaluate", *arguments) == 2
    assert message in capsys.readouterr().err


@pytest.mark.parametrize(
    ("arguments", "taken"), [([], False), (["--looks"], True), (["pale skin"], True)]
)
def test_photographs_are_edited_by_looks_where_those_are_named(
    arguments: list[str], taken: bool, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    loaded: list[str] = []
    monkeypatch.setattr(MapperRuntime, "from_bundle", lambda names, *_: loaded.extend(names))
    study = SimpleNamespace(run=lambda: ((), ()))
    monkeypatch.setattr(photographs, "PhotographStudy", lambda *_: study)
    assert run(monkeypatch, "evaluate", "--images", str(tmp_path), *arguments) == 0
    assert "hair-colour" in loaded and ("looks" in loaded) == taken
