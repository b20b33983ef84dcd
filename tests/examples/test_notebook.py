"""The notebook: its cells run in order, here with tiny networks and few steps."""

import json
from pathlib import Path
from typing import Any

from styleclip_rt.checkpoints import mapper_file
from tests.tiny import tiny_bundle, tiny_prompt_mapper

NOTEBOOK = Path(__file__).parents[2] / "examples" / "faces.ipynb"


def test_cells_run(tmp_path: Path) -> None:
    bundle = tiny_bundle()
    mappers = {}
    for name, prompts in {"hair-colour": ("red hair", "old"), "smiling": ("smiling",)}.items():
        mappers[name] = tmp_path / f"{name}.safetensors"
        mapper = tiny_prompt_mapper(bundle, prompts)
        mapper_file.save(mapper, mappers[name], mapper_file.Origin())
    names: dict[str, Any] = {}
    for cell in json.loads(NOTEBOOK.read_text(encoding="utf-8"))["cells"]:
        if cell["cell_type"] != "code":
            continue
        exec("".join(cell["source"]), names)
        if "parameters" in cell["metadata"].get("tags", ()):
            names |= {"BUNDLE": bundle, "MAPPERS": mappers, "STEPS": 2}
    assert names["result"].history
    assert names["further"].image.size == (64, 64)


def test_it_was_run() -> None:
    cells = json.loads(NOTEBOOK.read_text(encoding="utf-8"))["cells"]
    code = [cell for cell in cells if cell["cell_type"] == "code"]
    assert [cell["execution_count"] for cell in code] == list(range(1, len(code) + 1))
    assert NOTEBOOK.stat().st_size < 1_000_000
