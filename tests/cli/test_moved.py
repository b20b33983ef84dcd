import pytest

from styleclip_rt import cli

MOVED = {
    "bundle": ("train-draft", "train-faces", "train-clip", "train-id", "train-directions"),
    "mapper": ("fit", "correct"),
}


def run(monkeypatch: pytest.MonkeyPatch, *arguments: str) -> int:
    monkeypatch.setattr("sys.argv", ["styleclip", *arguments])
    try:
        cli.main()
    except SystemExit as exit_:
        return int(exit_.code or 0)
    return 0


@pytest.mark.parametrize(
    "command", [(group, name) for group, names in MOVED.items() for name in names]
)
@pytest.mark.parametrize("rest", [(), ("--help",), ("x.safetensors", "--faces", "3", "-q")])
def test_a_command_that_moved_says_where_it_went(
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    command: tuple[str, str],
    rest: tuple[str, ...],
) -> None:
    assert run(monkeypatch, *command, *rest) == 2
    said = capsys.readouterr()
    assert said.out == "" and len(said.err.splitlines()) == 1
    _, _, recipe = said.err.partition("python -m recipes ")
    assert recipe.partition("`")[0] in recipes_of_the_project()


def recipes_of_the_project() -> set[str]:
    from recipes.__main__ import recipes

    return set(recipes.commands)


@pytest.mark.parametrize("group", MOVED)
def test_help_does_not_list_what_moved(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], group: str
) -> None:
    assert run(monkeypatch, group, "--help") == 0
    listed = {line.split()[0] for line in capsys.readouterr().out.splitlines() if line.strip()}
    assert not listed & set(MOVED[group])


def test_painting_names_its_recipe(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(monkeypatch, "mapper", "train", "--prompts", "red hair", "--paint", "12") == 2
    assert "python -m recipes train-painted" in capsys.readouterr().err
