"""The command line: `styleclip`."""

import sys

import click

from styleclip_rt import __version__
from styleclip_rt.cli.bundle import bundle
from styleclip_rt.cli.dataset import dataset
from styleclip_rt.cli.edit import edit
from styleclip_rt.cli.export import export, verify
from styleclip_rt.cli.info import info
from styleclip_rt.cli.mapper import mapper
from styleclip_rt.cli.moved import moved
from styleclip_rt.cli.serve import serve
from styleclip_rt.cli.study import compare_spaces, evaluate
from styleclip_rt.errors import StyleClipError


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__)
def cli() -> None:
    """Edit faces by text."""


for command in (
    edit,
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
    """Run a command line: 0 done, 2 bad input (one sentence on stderr), 130 interrupted."""
    try:
        command.main(standalone_mode=False)
    except click.exceptions.Abort:
        sys.exit(130)
    except KeyboardInterrupt:
        sys.exit(130)
    except click.ClickException as error:
        error.show()
        sys.exit(2)
    except StyleClipError as error:
        click.echo(f"error: {error}", err=True)
        sys.exit(2)
