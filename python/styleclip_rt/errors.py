"""What went wrong, in one sentence a user can act on."""


class StyleClipError(Exception):
    """Bad input or a missing resource.

    The message is one sentence that says what was wrong and what to do; the command line
    prints it to stderr without a traceback and exits with code 2.
    """


class CheckpointError(StyleClipError):
    """A weights file is broken, truncated, hostile, or of another architecture."""


class BundleError(StyleClipError):
    """A bundle is unknown, incomplete, or could not be fetched."""


class ExportError(StyleClipError):
    """An exported file is broken, of other weights, or does not do what the network does."""


def shown(value: object) -> str:
    """A value as a sentence can quote it, in one line of at most 60 characters."""
    try:
        text = " ".join(repr(value).split())
    except ValueError:  # Python writes no integer of thousands of digits.
        text = "a number of thousands of digits"
    return text if len(text) <= 60 else f"{text[:57]}..."
