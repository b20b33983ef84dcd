"""The service's store, beside requests that come and go."""

import os
from pathlib import Path

import pytest

pytest.importorskip("fastapi")

from styleclip_rt.runtime.service.store import Store


def test_an_entry_that_vanishes_while_all_are_measured_is_no_error(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    for name in ("one", "other"):
        (tmp_path / "store" / name).mkdir(parents=True)
        (tmp_path / "store" / name / "picture").write_bytes(bytes(100))
    store = Store(tmp_path / "store", 60, 1000)
    assert store.size() == 200
    scan = os.scandir

    def vanish(folder: "str | os.PathLike[str]" = ".") -> object:
        if Path(folder).parent == tmp_path / "store":
            Path(folder).rename(tmp_path / Path(folder).name)
        return scan(folder)

    monkeypatch.setattr(os, "scandir", vanish)
    assert store.size() == 0
