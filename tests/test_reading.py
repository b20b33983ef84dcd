import pytest

from benchmarks.reading import is_right, phrases
from styleclip_rt.looks import looks
from styleclip_rt.reading import read


@pytest.mark.parametrize(
    ("text", "looks"),
    [
        ("red hair and a slight smile", "red hair 1, smiling 0.5"),
        ("Blond, with red lips!", "blond hair 1, red lipstick 1"),
        ("her hair is long and red", "red hair 1"),
        ("eyes blue lips red", "blue eyes 1, red lipstick 1"),
        ("big eyes and lips", "big eyes 1, full lips 1"),
        ("less smiling and big eyes", "serious 0.5, big eyes 1"),
        ("a bit younger", "young 0.5"),
        ("thinner eyebrows", "light brows 1"),
        ("no lipstick, very old", "pale lips 1, old 1.2"),
        ("she isn't happy", "serious 1"),
        ("makeup free", "no makeup 1"),
        ("too young", "old 1"),
        ("simling womn with bluee eyes", "smiling 1, blue eyes 1"),
        ("light blue eyes and gray-haired", "blue eyes 1, grey hair 1"),
        ("she looks to the left in warm light", "looking left 1, warm light 1"),
        ("enlarge the eyes", "big eyes 1"),
        ("a woman", "feminine 1"),
        ("a woman with dark, wavy hair", "dark hair 1"),
    ],
)
def test_sentences_name_looks(text: str, looks: str) -> None:
    assert str(read(text)) == looks


@pytest.mark.parametrize(
    "text",
    [
        "a red car",
        "turn on the light",
        "make it jazz",
        "dog",
        "the dog is happy",
        "black and white",
    ],
)
def test_what_is_unknown(text: str) -> None:
    reading = read(text)
    assert not reading.looks and not reading.unseen and reading.unknown


def test_what_there_is_no_look_for() -> None:
    reading = read("long red hair, not wearing glasses, in a spaceship")
    assert str(reading) == "red hair 1"
    assert reading.unseen == ("long hair", "no glasses")
    assert reading.unknown == ("spaceship",)
    assert reading.absent == ("no glasses",)
    assert reading.rest == "long hair and spaceship"
    assert read("no beard").rest == "clean-shaven"


def test_phrases_of_the_table_are_read() -> None:
    for look in looks():
        for phrase in (look.name, *look.says):
            assert [(known.name, way > 0) for known, way in read(phrase).looks] == [
                (look.name, True)
            ], phrase
        for phrase in look.less:
            assert [(known.name, way > 0) for known, way in read(phrase).looks] == [
                (look.name, False)
            ], phrase


@pytest.mark.parametrize("kind", ["look", "face", "unknown"])
def test_what_others_wrote_is_read(kind: str) -> None:
    right = [is_right(phrase, read(phrase.text)) for phrase in phrases() if phrase.kind == kind]
    assert sum(right) >= 0.95 * len(right)
