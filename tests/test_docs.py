"""What the documents say of files, commands and figures is so."""

import ast
import json
import re
import shlex
import statistics
import subprocess
from collections.abc import Iterator
from pathlib import Path

import click
import pytest

from recipes.__main__ import recipes
from styleclip_rt.cli import cli

ROOT = Path(__file__).parents[1]
DOCUMENTS = sorted(
    ROOT / name
    for name in subprocess.run(
        ["git", "ls-files", "*.md"], cwd=ROOT, capture_output=True, text=True
    ).stdout.splitlines()
)
PAGES = [path for path in DOCUMENTS if path.parent in (ROOT, ROOT / "docs")]
"""That are written by hand for readers; tables that a study left behind are quoted in them."""
COMMAND = re.compile(r"styleclip \w|make \w|python -m \w|pytest|\w\.sh\b")
FIGURE = re.compile(r"\b\d+(?:\.\d+|/\d+| ?(?:s|ms|%|x|MB|dB|GiB)\b)")
PROGRAMS = {"recipes": recipes, "styleclip": cli}

pytestmark = pytest.mark.skipif(not DOCUMENTS, reason="needs a checkout of git")


def named(path: Path) -> str:
    return path.relative_to(ROOT).as_posix()


def sections(text: str) -> Iterator[tuple[str, str]]:
    """Heading and text of each section; what stands in fences is no heading."""
    heading, lines, fenced = "", list[str](), False
    for line in text.splitlines():
        fenced ^= line.startswith("```")
        if line.startswith("#") and not fenced:
            yield heading, "\n".join(lines)
            heading, lines = line.lstrip("# "), []
        lines.append(line)
    yield heading, "\n".join(lines)


def anchors(path: Path) -> set[str]:
    titles = (heading for heading, _ in sections(path.read_text(encoding="utf-8")))
    return {re.sub(r"[^\w\- ]", "", title.lower()).replace(" ", "-") for title in titles}


@pytest.mark.parametrize("path", DOCUMENTS, ids=named)
def test_links_lead_somewhere(path: Path) -> None:
    for target in re.findall(r"\]\(([^)\s]+)\)", path.read_text(encoding="utf-8")):
        if "://" in target:
            continue
        file, _, anchor = target.partition("#")
        there = path.parent / file if file else path
        assert there.exists(), target
        assert not anchor or anchor in anchors(there), target


def commands(text: str) -> Iterator[list[str]]:
    """Command lines of `styleclip`, of recipes and of benchmarks, as words."""
    text = text.replace("\\\n", " ")
    fenced = "\n".join(re.findall(r"^```\w*\n(.*?)^```", text, re.S | re.M))
    indented = "\n".join(re.findall(r"^    (.*)$", text, re.M))
    spans = re.findall(r"`([^`]+)`", re.sub(r"```.*?```", "", text, flags=re.S))
    inline = "\n".join(span.replace("\n", " ") for span in spans)
    for line in "\n".join((fenced, indented, inline)).splitlines():
        words = shlex.split(line, comments=True) if line.count("'") % 2 == 0 else []
        if words[:2] == ["python", "-m"] or words[:1] == ["styleclip"]:
            yield words


@pytest.mark.parametrize("path", DOCUMENTS, ids=named)
def test_commands_exist(path: Path) -> None:
    for words in commands(path.read_text(encoding="utf-8")):
        if words[0] == "styleclip":
            program, rest = "styleclip", words[1:]
        else:
            program, *rest = words[2:]
        if program not in PROGRAMS:
            if program.split(".")[0] in ("benchmarks", "recipes"):
                assert (ROOT / program.replace(".", "/")).with_suffix(".py").is_file(), words
            continue
        command: click.Command = PROGRAMS[program]
        while isinstance(command, click.Group) and rest and re.match(r"[a-z]", rest[0]):
            assert rest[0] in command.commands, words
            command, rest = command.commands[rest[0]], rest[1:]
        options = {name for each in command.params for name in (*each.opts, *each.secondary_opts)}
        given = {word.partition("=")[0].strip("[]") for word in rest if word.startswith("--")}
        assert given <= options | {"--help"}, words


def test_make_targets_exist() -> None:
    targets = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.M))
    for path in PAGES:
        for inner in re.findall(r"`make ([a-z- ]+)`", path.read_text(encoding="utf-8")):
            assert set(inner.split()) <= targets, f"{named(path)}: {inner}"


def test_map_of_the_readme_has_every_room() -> None:
    text = dict(sections((ROOT / "README.md").read_text(encoding="utf-8")))["Map of the tree"]
    places = set(re.findall(r"`([\w./]+?)/?`", text))
    tracked = subprocess.run(["git", "ls-files"], cwd=ROOT, capture_output=True, text=True).stdout
    tops = {line.split("/")[0] for line in tracked.splitlines() if "/" in line} - {"python"}
    package = ROOT / "python" / "styleclip_rt"
    rooms = {path.parent.name for path in package.glob("*/__init__.py")} - {"runtime", "export"}
    assert tops | rooms <= places


@pytest.mark.parametrize("path", PAGES, ids=named)
def test_tables_of_figures_say_what_makes_them(path: Path) -> None:
    text = path.read_text(encoding="utf-8")
    introduction = next(iter(list(sections(text))[1:2]), ("", ""))[1]
    for heading, section in sections(text):
        rows = re.findall(r"^\|.*\|$", section, re.M)
        if sum(len(FIGURE.findall(row)) for row in rows) > 4:
            assert COMMAND.search(section) or COMMAND.search(introduction), heading


def test_speed_of_the_readme_was_measured() -> None:
    text = dict(sections((ROOT / "README.md").read_text(encoding="utf-8")))["Speed"]
    (results,) = re.findall(r"benchmarks/results/[\w.-]+\.json", text)
    cases = json.loads((ROOT / results).read_text())["cases"]
    cases = cases.values() if isinstance(cases, dict) else cases
    measured = {
        statistics.median(times) for case in cases for times in case["seconds"].values() if times
    }
    figures = [
        float(figure)
        for row in re.findall(r"^\|.*\|$", text, re.M)
        for figure in re.findall(r"\| ([\d.]+)(?= )", row)
    ]
    assert len(figures) > 10
    for figure in figures:
        digits = len(str(figure).partition(".")[2])
        assert any(round(time, digits) == figure for time in measured), figure


def test_changelog_knows_the_version() -> None:
    version = re.search(r'^version = "(.+)"', (ROOT / "pyproject.toml").read_text(), re.M)
    assert version and f"\n## {version[1]} - " in (ROOT / "CHANGELOG.md").read_text()


def test_house_of_contributing_is_that_of_the_tests() -> None:
    tree = ast.parse((ROOT / "tests" / "test_house.py").read_text())
    (floors,) = (
        ast.literal_eval(node.value)
        for node in tree.body
        if isinstance(node, ast.Assign) and getattr(node.targets[0], "id", "") == "FLOORS"
    )
    text = dict(sections((ROOT / "CONTRIBUTING.md").read_text()))["The floors"]
    places = [text.index(floor[-1]) for floor in floors[3:]]
    assert places == sorted(places)
