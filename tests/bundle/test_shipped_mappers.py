from styleclip_rt.bundle.mappers import find, shipped
from styleclip_rt.checkpoints import mapper_file
from styleclip_rt.models.mapper import PromptMapper


def test_shipped_mappers_are_for_the_default_bundle_and_small() -> None:
    files = shipped()
    assert files
    assert sum(path.stat().st_size for path in files.values()) <= 15e6
    for name, path in files.items():
        assert find(name) == path
        mapper, origin = mapper_file.load(path)
        assert origin.bundle == "ffhq-mobile"
        if name == "looks":  # is of another kind: tests/bundle/test_looks.py
            continue
        assert isinstance(mapper, PromptMapper)
        assert mapper.shape == (23, 512)
        shares = mapper.shares(mapper.texts)
        assert shares.diagonal().min() > 0.9
