import ast
import json
from pathlib import Path

import pytest
from click.testing import CliRunner

import styleclip_rt
from recipes.__main__ import recipes
from recipes.report import Report

ROOT = Path(__file__).parents[2]
PACKAGE = Path(styleclip_rt.__file__).parent


def imported(path: Path) -> set[str]:
    """First names of all modules that a source imports, at its top or inside."""
    names = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            names |= {alias.name.split(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            names.add((node.module or "").split(".")[0])
    return names


def test_the_package_does_not_import_its_lab() -> None:
    sources = [
        path for name in ("python", "runtime", "export") for path in ROOT.glob(f"{name}/**/*.py")
    ]
    assert len(sources) > 100
    assert [path for path in sources if "recipes" in imported(path)] == []


@pytest.mark.parametrize("name", recipes.commands)
def test_every_recipe_explains_itself(name: str) -> None:
    shown = CliRunner().invoke(recipes, [name, "--help"])
    assert shown.exit_code == 0
    assert f"Usage: recipes {name}" in shown.output
    assert recipes.commands[name].help


def test_every_file_that_ships_is_in_the_table_with_a_recipe() -> None:
    rows = [
        [cell.strip() for cell in line.strip("|").split("|")]
        for line in (ROOT / "recipes" / "README.md").read_text(encoding="utf-8").splitlines()
        if line.startswith("| `") and line.count("|") == 6
    ]
    commands = {row[1].strip("`").removeprefix("python -m recipes ") for row in rows}
    assert commands <= set(recipes.commands)
    listed = {name.strip("` ") for row in rows for name in row[0].split(",")}
    weights = [path for path in PACKAGE.rglob("weights/**/*") if path.is_file()]
    shipped = {path.name for path in weights if path.suffix in (".safetensors", ".bin")}
    assert len(shipped) > 10
    assert shipped | {"face_clip_tokens.json", "look_words.json.gz"} == listed


def test_a_report_says_what_from_what_and_how_long(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "old.safetensors").write_bytes(b"another")
    same = tmp_path / "face_clip_tokens.json"
    same.write_bytes((PACKAGE / "weights" / same.name).read_bytes())
    Report().made(same, tmp_path / "old.safetensors", source="three faces", figures={"auc": 0.5})
    said = capsys.readouterr().out
    for part in (
        f"made {same}",
        "the bytes of",
        "other bytes than",
        "from three faces",
        "auc: 0.5",
    ):
        assert part in said
    kept = json.loads((tmp_path / "report.json").read_text(encoding="utf-8"))
    assert kept["from"] == "three faces" and kept["seconds"] >= 0 and len(kept["made"]) == 2
