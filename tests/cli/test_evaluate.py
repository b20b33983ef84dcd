import pytest

from tests.cli.test_edit import run
from tests.cli.test_edit import tiny as tiny


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--quality", "best"], "goes with --images"),
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
