"""The command line: `styleclip`."""

import signal
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

import click

from styleclip_rt.cli.bundle import bundle
from styleclip_rt.cli.dataset import dataset
from styleclip_rt.cli.edit import edit
from styleclip_rt.cli.export import export, verify
from styleclip_rt.cli.info import info
from styleclip_rt.cli.invert import invert
from styleclip_rt.cli.look import look, looks
from styleclip_rt.cli.mapper import mapper
from styleclip_rt.cli.moved import moved
from styleclip_rt.cli.serve import serve
from styleclip_rt.cli.study import compare_spaces, evaluate
from styleclip_rt.errors import StyleClipError
from styleclip_rt.threads import wait_briefly


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="styleclip-rt", prog_name="styleclip")
def cli() -> None:
    """Edit faces by text."""


for command in (
    edit,
    invert,
    looks,
    look,
    bundle,
    dataset,
    mapper,
    export,
    verify,
    serve,
    evaluate,
    compare_spaces,
    info,
):
    cli.add_command(command)
for old, recipe in (
    ("train-draft", "draft-heads"),
    ("train-faces", "training-faces"),
    ("train-clip", "face-clip"),
    ("train-id", "face-id"),
    ("train-directions", "look-directions"),
):
    bundle.add_command(moved(old, recipe))
for old, recipe in (("fit", "fit-hair-colour"), ("correct", "correct-hair-colour")):
    mapper.add_command(moved(old, recipe))


def main() -> None:
    """Entry point of `styleclip`."""
    run(cli)


def run(command: click.Command) -> None:
    """Run a command line: 0 done, 2 bad input (one sentence on stderr), 130 interrupted, be it by
    Ctrl-C or by SIGTERM."""
    # Torch, which reads this when it is loaded, is not loaded yet.
    wait_briefly()
    interrupted = threading.Event()
    with _signals(interrupted):
        try:
            command.main(standalone_mode=False)
        except (click.exceptions.Abort, KeyboardInterrupt):
            sys.exit(130)
        except click.ClickException as error:
            error.show()
            sys.exit(2)
        except StyleClipError as error:
            click.echo(f"error: {error}", err=True)
            sys.exit(2)
        except ModuleNotFoundError as error:
            if error.name != "torch":
                raise
            click.echo(
                "error: this needs torch, which is not here: install it, or run exported files "
                "with --engine onnxruntime.",
                err=True,
            )
            sys.exit(2)
        except Exception:
            # A library may make another error of an interruption.
            if interrupted.is_set():
                sys.exit(130)
            raise


@contextmanager
def _signals(interrupted: threading.Event) -> Iterator[None]:
    """Inside, SIGTERM does whatever Ctrl-C would do at that moment, and neither is lost."""

    def interrupt(*_: object) -> None:
        interrupted.set()
        raise KeyboardInterrupt

    def terminate(number: int, frame: FrameType | None) -> None:
        handler = signal.getsignal(signal.SIGINT)
        (handler if callable(handler) else interrupt)(number, frame)

    def swallowed(what: "sys.UnraisableHookArgs") -> None:
        # Python drops what is raised while it clears up objects; so interrupt once more.
        if issubclass(what.exc_type, KeyboardInterrupt):
            later.append(threading.Timer(0.02, signal.pthread_kill, (main, signal.SIGTERM)))
            later[-1].start()
        else:
            hook(what)

    if threading.current_thread() is not threading.main_thread():
        yield
        return
    main, later = threading.get_ident(), list[threading.Timer]()
    hook = sys.unraisablehook
    before = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    if before[signal.SIGINT] is signal.default_int_handler:
        signal.signal(signal.SIGINT, interrupt)
    if before[signal.SIGTERM] is signal.SIG_DFL:
        signal.signal(signal.SIGTERM, terminate)
    sys.unraisablehook = swallowed
    try:
        yield
    finally:
        for timer in later:
            timer.cancel()
        sys.unraisablehook = hook
        for number, handler in before.items():
            signal.signal(number, handler)
