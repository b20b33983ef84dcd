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
from styleclip_rt.cli.serve import serve
from styleclip_rt.cli.study import compare_spaces, evaluate
from styleclip_rt.cli.training import (
    train_clip,
    train_directions,
    train_draft,
    train_faces,
    train_id,
)
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
for command in (train_draft, train_faces, train_clip, train_id, train_directions):
    bundle.add_command(command)


def main() -> None:
    """Entry point: 0 done, 2 bad input (one sentence on stderr), 130 interrupted."""
    try:
        cli.main(standalone_mode=False)
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
