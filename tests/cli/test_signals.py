"""How commands end when they are told to: as after Ctrl-C, whatever they are at."""

import signal
import subprocess
import sys
import textwrap

import pytest


def told(body: str, kind: int, **options: object) -> subprocess.CompletedProcess[str]:
    """Run a command with this body, in which `tell()` sends a signal to the process."""
    script = f"""
        import os, signal, time, weakref
        import click
        from styleclip_rt.cli import run
        def tell():
            os.kill(os.getpid(), {int(kind)})
        @click.command()
        def command():
            {body}
            time.sleep(20)
        run(command)
        """
    code = textwrap.dedent(script)
    return subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, **options)


@pytest.mark.parametrize("kind", [signal.SIGTERM, signal.SIGINT])
@pytest.mark.parametrize(
    "body",
    [
        "tell()",
        "x = type('X', (), {})(); r = weakref.ref(x, lambda _: (tell(), time.sleep(0))); del x",
        "x = type('X', (), {'__del__': lambda _: (tell(), time.sleep(0))})(); del x",
        "\n            try:\n                tell()\n            except KeyboardInterrupt:\n"
        "                raise RuntimeError('made of it')",
    ],
    ids=["plain", "weak", "while clearing up", "another error"],
)
def test_a_command_that_is_told_to_end_exits_with_130(kind: int, body: str) -> None:
    done = told(body, kind, timeout=15)
    assert (done.returncode, done.stderr.strip()) == (130, "")


def test_sigterm_ends_where_ctrl_c_is_ignored() -> None:
    """As shells have it for what they run in the background."""
    done = told("tell()", signal.SIGTERM, timeout=15, preexec_fn=ignore_ctrl_c)
    assert done.returncode == 130


def ignore_ctrl_c() -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)
