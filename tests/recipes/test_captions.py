import random

import pytest

from recipes.labels.captions import NEUTRAL, PHRASES, caption, known_tokens
from styleclip_rt.models.tokenizer import encode


def test_a_caption_says_every_attribute() -> None:
    rng = random.Random(0)
    for _ in range(200):
        names = rng.sample(sorted(PHRASES), rng.randint(1, 3))
        text = caption(names, rng)
        assert all(any(phrase in text for phrase in PHRASES[name]) for name in names)


def test_no_attribute_gives_a_neutral_caption() -> None:
    assert caption([], random.Random(0)) in NEUTRAL


def test_no_phrase_means_two_things() -> None:
    phrases = [phrase for phrases in PHRASES.values() for phrase in phrases]
    assert len(phrases) == len(set(phrases))


@pytest.mark.parametrize(
    "prompt",
    [
        "dark skin",
        "freckles",
        "red lipstick",
        "heavy makeup",
        "thick moustache",
        "red hair",
        "big lashes",
        "curly hair",
        "smiling",
        "old",
        "pale",
        "glasses",
        "a man with a beard",
    ],
)
def test_the_reports_vocabulary_is_known(prompt: str) -> None:
    assert set(encode(prompt)) <= known_tokens()


def test_captions_hold_no_unknown_token() -> None:
    rng = random.Random(1)
    names = sorted(PHRASES)
    for _ in range(300):
        assert set(encode(caption(rng.sample(names, 2), rng))) <= known_tokens()
