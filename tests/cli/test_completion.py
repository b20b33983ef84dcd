import subprocess
import sys

import pytest


@pytest.mark.parametrize(
    ("words", "offered"), [("styleclip inv", "invert"), ("styleclip edit --pl", "--plain")]
)
def test_a_shell_completes_commands_and_options(words: str, offered: str) -> None:
    script = "import sys; sys.argv = ['styleclip']; from styleclip_rt.cli import main; main()"
    told = subprocess.run(
        [sys.executable, "-c", script],
        env={
            "_STYLECLIP_COMPLETE": "bash_complete",
            "COMP_WORDS": words,
            "COMP_CWORD": str(len(words.split()) - 1),
        },
        capture_output=True,
        text=True,
        check=False,
    )
    assert told.stdout.split() == [f"plain,{offered}"], told.stderr
