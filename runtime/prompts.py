"""The one door of text. Needs no torch."""

from styleclip_rt.editing.schedule import MAX_PROMPT_LENGTH
from styleclip_rt.errors import StyleClipError


def check_prompt(prompt: str) -> None:
    """Raises StyleClipError for a prompt that says nothing, is too long, or is no text."""
    try:
        prompt.encode()
    except UnicodeEncodeError:
        raise StyleClipError("the prompt is not UTF-8 text: type it again.") from None
    if not prompt.strip():
        raise StyleClipError("the prompt is empty: say how the face should look.")
    if len(prompt) > MAX_PROMPT_LENGTH:
        raise StyleClipError(
            f"the prompt has {len(prompt)} characters: keep it within {MAX_PROMPT_LENGTH}."
        )
