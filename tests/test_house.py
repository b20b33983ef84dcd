"""Data flows one way: nothing below imports what is above it, lazily or for its types alone."""

import ast
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
ROOMS = {
    "styleclip_rt": ROOT / "python" / "styleclip_rt",
    "styleclip_rt.runtime": ROOT / "runtime",
    "styleclip_rt.export": ROOT / "export",
}
FLOORS = (
    ("errors", "_native"),
    (
        "files",
        "folders",
        "looks",
        "reading",
        "markdown",
        "random_numbers",
        "settings",
        "threads",
        "compiled",
        "devices",
    ),
    ("plot", "pictures", "ops"),
    ("models",),
    ("checkpoints", "photos"),
    ("bundle", "paint"),
    ("editing", "engines", "probes"),
    ("training",),
    ("runtime", "export"),
    ("cli",),
)
"""Rooms and single modules, the lowest first; those of one floor know nothing of each other, but
for what is listed here from left to right on the lowest three."""


def modules() -> dict[str, Path]:
    found = {}
    for package, folder in ROOMS.items():
        for path in folder.rglob("*.py"):
            parts = path.relative_to(folder).with_suffix("").parts
            if package == "styleclip_rt" and parts[0] in ("runtime", "export"):
                continue  # links to the folders that the customer names
            found[".".join((package, *parts)).removesuffix(".__init__")] = path
    return found


MODULES = modules()


def imports(path: Path) -> set[str]:
    """Modules of this package that a file imports, wherever in it."""
    names = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            for alias in node.names:
                whole = f"{node.module}.{alias.name}"
                names.add(whole if whole in MODULES or alias.name == "_native" else node.module)
    return {name for name in names if name.split(".")[0] == "styleclip_rt"}


def floor_of(module: str) -> int:
    room = module.split(".")[1]
    return next(i for i, rooms in enumerate(FLOORS) if room in rooms)


@pytest.mark.parametrize("module", sorted(MODULES))
def test_nothing_imports_what_is_above_it(module: str) -> None:
    if module == "styleclip_rt":  # the public face, which names what it opens
        return
    for other in imports(MODULES[module]):
        if other == "styleclip_rt":
            continue  # for the version
        same_room = other.split(".")[1] == module.split(".")[1]
        assert same_room or floor_of(other) < floor_of(module) or floor_of(module) < 3, other


def test_there_is_no_circle() -> None:
    graph = {
        name: {other for other in imports(path) if other in MODULES} - {name, "styleclip_rt"}
        for name, path in MODULES.items()
    }
    while leaves := [name for name, others in graph.items() if not others & graph.keys()]:
        for leaf in leaves:
            del graph[leaf]
    assert not graph, f"modules in or above a circle: {sorted(graph)}"
