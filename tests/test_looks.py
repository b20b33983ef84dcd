import pytest

from styleclip_rt.bundle.mappers import find as mapper_path
from styleclip_rt.checkpoints import mapper_file
from styleclip_rt.errors import StyleClipError
from styleclip_rt.looks import find, looks
from styleclip_rt.paint import PAINTS


def test_every_look_has_its_move_and_every_phrase_one_meaning() -> None:
    prompts = {
        name: mapper_file.load(mapper_path(name))[0].prompts
        for name in {look.mapper for look in looks()} - {"paint"}
    } | {"paint": tuple(PAINTS)}
    for look in looks():
        assert look.prompt in prompts[look.mapper]
        assert look.least <= 0 < look.most
        assert (look.least < 0) == bool(look.less)
        for phrase in (look.name, *look.says):
            assert find(phrase) == (look, 1), phrase
        for phrase in look.less:
            assert find(phrase.upper()) == (look, -1), phrase


def test_what_is_no_look() -> None:
    with pytest.raises(StyleClipError, match="no look 'a spaceship'"):
        find("a spaceship")
