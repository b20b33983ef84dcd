"""Captions for FaceCLIP: what can be said of a face, in how many ways.

An attribute is one fact about a face, true, false or unknown of each image. A caption is one or
more attributes in words; it is true of an image when all of them are.
"""

import random
from collections.abc import Mapping, Sequence

from styleclip_rt.models.tokenizer import encode

HAIR_COLOURS = ("black", "brown", "blond", "red", "grey", "green", "blue", "purple", "pink")


def _coloured_hair(*colours: str) -> tuple[str, ...]:
    forms = ("{} hair", "hair dyed {}", "{} coloured hair", "{} haired person", "hair that is {}")
    return tuple(form.format(colour) for colour in colours for form in forms)


PHRASES: Mapping[str, tuple[str, ...]] = {
    "hair_black": (*_coloured_hair("black", "jet black", "dark black"), "dark hair", "raven hair"),
    "hair_brown": (
        *_coloured_hair("brown", "dark brown", "chestnut"),
        "a brunette",
        "brunette hair",
    ),
    "hair_blond": (
        *_coloured_hair("blond", "blonde", "golden", "light"),
        "a blonde",
        "fair hair",
        "yellow hair",
    ),
    "hair_red": (*_coloured_hair("red", "ginger", "auburn", "orange", "copper"), "a redhead"),
    "hair_grey": _coloured_hair("grey", "gray", "white", "silver"),
    "hair_green": _coloured_hair("green", "bright green", "dark green"),
    "hair_blue": _coloured_hair("blue", "bright blue", "dark blue"),
    "hair_purple": _coloured_hair("purple", "violet", "bright purple"),
    "hair_pink": _coloured_hair("pink", "hot pink", "bright pink"),
    "hair_curly": ("curly hair", "wavy hair", "curls", "frizzy hair", "an afro", "curly hairstyle"),
    "hair_straight": ("straight hair", "smooth hair", "sleek hair"),
    "hair_long": ("long hair", "long hairstyle", "hair over the shoulders"),
    "hair_short": ("short hair", "cropped hair", "a short haircut"),
    "bald": ("bald", "a bald head", "no hair", "a shaved head", "hairless"),
    "lips_red": (
        "red lipstick",
        "red lips",
        "bright red lipstick",
        "wearing red lipstick",
        "lips painted red",
        "crimson lips",
        "scarlet lipstick",
        "lipstick",
    ),
    "lips_pale": ("pale lips", "natural lips", "no lipstick", "nude lips"),
    "skin_dark": (
        "dark skin",
        "dark skinned",
        "black skin",
        "brown skin",
        "a dark complexion",
        "a black person",
        "an african face",
    ),
    "skin_pale": (
        "pale skin",
        "pale",
        "fair skin",
        "white skin",
        "light skin",
        "a pale complexion",
        "very pale",
    ),
    "freckles": ("freckles", "freckled skin", "a freckled face", "freckles on the cheeks"),
    "makeup": (
        "heavy makeup",
        "makeup",
        "wearing makeup",
        "heavy make-up",
        "eye shadow",
        "a lot of makeup",
        "glamorous makeup",
    ),
    "no_makeup": ("no makeup", "without makeup", "a bare face"),
    "lashes": (
        "big lashes",
        "long eyelashes",
        "thick lashes",
        "big eyelashes",
        "mascara",
        "false lashes",
    ),
    "moustache": (
        "thick moustache",
        "a moustache",
        "a mustache",
        "a thick mustache",
        "a bushy moustache",
        "a dark moustache",
    ),
    "beard": (
        "a beard",
        "a full beard",
        "bearded",
        "a thick beard",
        "facial hair",
        "a bushy beard",
    ),
    "shaven": ("clean shaven", "no beard", "no facial hair", "a smooth chin"),
    "glasses": ("glasses", "wearing glasses", "eyeglasses", "spectacles", "a pair of glasses"),
    "smiling": (
        "smiling",
        "a smile",
        "a happy face",
        "smiling widely",
        "laughing",
        "a big smile",
        "happy",
        "grinning",
    ),
    "serious": ("serious", "not smiling", "a neutral expression", "a closed mouth", "a stern look"),
    "old": (
        "old",
        "an old person",
        "elderly",
        "an old face",
        "wrinkles",
        "aged",
        "a senior",
        "grandparent",
    ),
    "young": ("young", "a young person", "youthful", "a young face", "young adult"),
    "child": ("a child", "a kid", "a little child", "a small child"),
    "man": ("a man", "male", "a guy", "masculine", "a male face", "a gentleman"),
    "woman": ("a woman", "female", "a lady", "feminine", "a female face", "a girl"),
}

NEUTRAL = (
    "a face",
    "a photo of a face",
    "a person",
    "a portrait",
    "a photo of a person",
    "a human",
)

_TEMPLATES = (
    "{}",
    "{}",
    "a face with {}",
    "a photo of a face with {}",
    "a person with {}",
    "a portrait of someone with {}",
    "{}, portrait photo",
    "someone with {}",
    "a photo, {}",
)


def caption(attributes: Sequence[str], rng: random.Random) -> str:
    """One of the many ways to say that all `attributes` (names of PHRASES) hold; none of them gives
    a neutral caption, true of every face."""
    if not attributes:
        return rng.choice(NEUTRAL)
    parts = [rng.choice(PHRASES[name]) for name in attributes]
    rng.shuffle(parts)
    joined = rng.choice((", ", " and ", " ")).join(parts)
    return rng.choice(_TEMPLATES).format(joined)


def known_tokens() -> set[int]:
    """Every token of CLIP's vocabulary that a caption can hold."""
    texts = [phrase for phrases in PHRASES.values() for phrase in phrases] + list(NEUTRAL)
    texts += [template.format("and,") for template in _TEMPLATES]
    return {token for text in texts for token in encode(text)}
