"""The page at `/`, in a real browser against a live service of tiny networks."""

import json
import re
import shutil
import signal
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("pydantic_settings")
pytest.importorskip("prometheus_client")
pytest.importorskip("httpx")
pytest.importorskip("selenium")

from PIL import Image
from selenium import webdriver
from selenium.webdriver.chrome.service import Service
from selenium.webdriver.common.by import By
from selenium.webdriver.common.keys import Keys
from selenium.webdriver.support.wait import WebDriverWait

from styleclip_rt.checkpoints import mapper_file
from styleclip_rt.models.generator import fingerprint
from tests.runtime.test_service_live import Served, serving
from tests.tiny import tiny_bundle, tiny_look_mapper, tiny_prompt_mapper

ROOT = Path(__file__).parents[2]
PORTRAIT = ROOT / "tests" / "golden" / "photos" / "official.jpg"
CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser")
DRIVER = shutil.which("chromedriver")
FLAGS = (
    "--headless --no-sandbox --disable-gpu --disable-quic --no-first-run --window-size=1200,900 "
    "--disable-component-update --disable-background-networking --disable-sync"
)
WAIT = 30

pytestmark = pytest.mark.skipif(
    not (CHROMIUM and DRIVER), reason="needs chromium and chromium-driver"
)


@pytest.fixture
def served(tmp_path: Path) -> Iterator[Served]:
    bundle = tiny_bundle()
    origin = mapper_file.Origin("tiny", fingerprint(bundle.generator))
    (tmp_path / "mappers").mkdir()
    mappers = {
        "looks": tiny_look_mapper(bundle, ("full lips", "angry")),
        "smiling": tiny_prompt_mapper(bundle, ("smiling",)),
    }
    for name, mapper in mappers.items():
        mapper_file.save(mapper, tmp_path / "mappers" / f"{name}.safetensors", origin)
    with serving(tmp_path) as served:
        yield served


class Page:
    """What a person sees and does."""

    def __init__(self, browser: Any) -> None:
        self.browser = browser

    def find(self, id: str) -> Any:
        return self.browser.find_element(By.ID, id)

    def until(self, true: Callable[[], object], seconds: float = WAIT) -> None:
        WebDriverWait(self.browser, seconds, 0.05).until(lambda _: true())

    def says(self, id: str, text: str) -> None:
        self.until(lambda: text in self.find(id).text)

    def drawn(self, described: str) -> str:
        """Waits for a full-size picture of that; its address."""
        image = self.find("after")
        self.until(
            lambda: (
                re.fullmatch(described, image.get_attribute("alt"))
                and image.get_attribute("data-size") == "full"
            )
        )
        return str(image.get_attribute("src"))

    def asked(self) -> Any:
        """The edit, as its JSON has it."""
        return json.loads(self.find("json").get_attribute("value"))


@pytest.fixture
def page(served: Served, tmp_path: Path) -> Iterator[Page]:
    options = webdriver.ChromeOptions()
    options.binary_location = str(CHROMIUM)
    for flag in (*FLAGS.split(), f"--user-data-dir={tmp_path / 'profile'}"):
        options.add_argument(flag)
    options.add_experimental_option("prefs", {"download.default_directory": str(tmp_path / "got")})
    options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
    browser = webdriver.Chrome(options=options, service=Service(str(DRIVER)))
    try:
        browser.get(f"http://127.0.0.1:{served.port}/")
        yield Page(browser)
    finally:
        browser.quit()


def test_a_person_edits_a_drawn_face(page: Page, tmp_path: Path) -> None:
    plain = page.drawn(r"face \d+")
    # Slide, by keyboard: drafts on the way, full size at rest.
    page.find("search").send_keys("thin lips")
    page.says("found", "1 looks")
    slider = page.find("look-full-lips")
    slider.send_keys(*[Keys.ARROW_LEFT] * 4)
    slid = page.drawn(r"face \d+, full lips -0.2")
    assert slid != plain and slider.get_attribute("aria-valuetext") == "thin lips 0.2"
    assert "styleclip look 'full lips' --strength -0.2" in page.find("command").get_attribute(
        "value"
    )
    # Type: words of the list move its sliders.
    page.find("sentence").send_keys("a smile and angry", Keys.ENTER)
    page.drawn(r"face \d+, full lips -0.2, smiling 1, angry 1")
    assert {move["look"]: move["strength"] for move in page.asked()["moves"]} == {
        "smiling": 1,
        "full lips": -0.2,
        "angry": 1,
    }
    # Undo and reset.
    page.find("undo").click()
    assert page.drawn(r"face \d+, full lips -0.2") == slid
    page.find("reset").click()
    assert page.drawn(r"face \d+") == plain
    page.find("undo").click()
    # Compare, and wipe.
    page.drawn(r"face \d+, full lips -0.2")
    page.find("compare").click()
    page.until(page.find("before").is_displayed)
    wipe = page.find("wipe")
    wipe.send_keys(Keys.HOME)
    assert "--wipe: 0%" in page.find("drop").get_attribute("style")
    # Download.
    page.find("download").click()
    page.says("said", "Downloaded")
    page.until(lambda: list((tmp_path / "got").glob("*.png")))
    (got,) = (tmp_path / "got").glob("*.png")
    assert re.fullmatch(r"face-\d+-full-lips-0.2.png", got.name)
    with Image.open(got) as image:
        assert image.format == "PNG" and image.size == (64, 64)
    assert not page.browser.get_log("browser")


def test_any_words_are_optimised_for(page: Page) -> None:
    page.drawn(r"face \d+")
    page.find("sentence").send_keys("old", Keys.ENTER)
    page.drawn(r"face \d+, old")
    assert "latent_id" in page.asked()
    assert re.match(r"styleclip edit old --seed \d+ ", page.find("command").get_attribute("value"))
    page.find("look-smiling").send_keys(Keys.ARROW_RIGHT)
    page.drawn(r"face \d+, old, smiling 0.05")
    page.find("sentence").clear()
    page.find("sentence").send_keys("zzz", Keys.ENTER)
    page.says("problem", "has never seen the words of 'zzz'")


def test_a_photograph_is_edited_and_deleted(page: Page) -> None:
    page.drawn(r"face \d+")
    page.find("photo").send_keys(str(PORTRAIT))
    page.drawn("official.jpg")
    page.find("look-smiling").send_keys(Keys.ARROW_RIGHT)
    page.drawn("official.jpg, smiling 0.05")
    photo = page.asked()["photo"]
    command = page.find("command").get_attribute("value")
    assert command == "styleclip look smiling --strength 0.05 --image official.jpg --out out"
    page.find("forget").click()
    page.drawn(r"face \d+")
    assert photo not in json.dumps(page.asked())


def test_one_of_several_faces_is_chosen_on_the_picture(page: Page, tmp_path: Path) -> None:
    page.drawn(r"face \d+")
    portraits = [Image.open(PORTRAIT.with_name(name)) for name in ("official.jpg", "vermeer.jpg")]
    left, right = (each.resize((400, 500)) for each in portraits)
    both = Image.new("RGB", (800, 500))
    both.paste(left, (0, 0))
    both.paste(right, (400, 0))
    both.save(tmp_path / "both.jpg")
    page.find("photo").send_keys(str(tmp_path / "both.jpg"))
    page.drawn("both.jpg")

    def outlines() -> list[Any]:
        return list(page.find("faces").find_elements(By.CSS_SELECTOR, "g"))

    def chosen() -> list[str]:
        return [each.get_attribute("aria-pressed") for each in outlines()]

    assert [each.get_attribute("aria-label") for each in outlines()] == [
        "Face 1 of 2, from the left",
        "Face 2 of 2, from the left",
    ]
    assert sorted(chosen()) == ["false", "true"]
    first = page.asked()["photo"]
    outlines()[1].click()
    page.until(lambda: page.asked()["photo"] != first and chosen() == ["false", "true"])
    assert page.find("which").get_attribute("value") == "2"
    second = page.asked()["photo"]
    page.browser.execute_script("arguments[0].focus()", outlines()[0])
    page.browser.switch_to.active_element.send_keys(Keys.ENTER)
    page.until(lambda: page.asked()["photo"] != second and chosen() == ["true", "false"])
    focused = page.browser.switch_to.active_element.get_attribute("aria-label")
    assert focused == "Face 1 of 2, from the left"
    page.find("look-smiling").send_keys(Keys.ARROW_RIGHT)
    page.drawn("both.jpg, smiling 0.05")
    assert not page.find("faces").is_displayed()
    assert "--image both.jpg --face 1 " in page.find("command").get_attribute("value")


def test_what_goes_wrong_is_one_line_and_can_be_gone_on_from(page: Page, tmp_path: Path) -> None:
    page.drawn(r"face \d+")
    (tmp_path / "none.jpg").write_text("no picture")
    page.find("photo").send_keys(str(tmp_path / "none.jpg"))
    page.says("problem", "no picture that can be read")
    page.find("random").click()
    page.until(lambda: not page.find("problem").text)


def test_it_goes_on_when_the_service_is_back(page: Page, served: Served, tmp_path: Path) -> None:
    page.drawn(r"face \d+")
    served.process.send_signal(signal.SIGKILL)
    served.process.wait()
    page.find("look-smiling").send_keys(Keys.ARROW_RIGHT)
    page.says("server", "does not answer")
    with serving(tmp_path, port=served.port):
        page.drawn(r"face \d+, smiling 0.05")
        page.until(lambda: not page.find("server").text)


def test_nothing_of_the_page_comes_from_elsewhere(served: Served) -> None:
    whole = ""
    for path in (ROOT / "runtime" / "service" / "page").iterdir():
        answer = served.client.get(f"/page/{path.name}")
        assert (
            answer.status_code == 200
            and "default-src 'none'" in answer.headers["content-security-policy"]
        )
        whole += answer.text
    assert not re.search(r"https?://|@import|url\(", whole)
    assert served.client.get("/").headers["content-type"].startswith("text/html")
    assert served.client.get("/page/none.js").status_code == 404
