"""Commands of earlier versions: what they did is done from the project's repository now."""

import click

from styleclip_rt.errors import StyleClipError


def moved(name: str, recipe: str) -> click.Command:
    """A hidden command that says which recipe does what it did, whatever it is given.

    Args:
        name: of the command.
        recipe: of `python -m recipes`.
    """

    def say(given: tuple[str, ...]) -> None:
        raise StyleClipError(
            f"{name!r} is no command of the package any more: clone the project's repository and "
            f"run `python -m recipes {recipe}` there."
        )

    return click.Command(
        name,
        context_settings={"ignore_unknown_options": True},
        params=[click.Argument(["given"], nargs=-1, type=click.UNPROCESSED)],
        callback=say,
        hidden=True,
        add_help_option=False,
    )
