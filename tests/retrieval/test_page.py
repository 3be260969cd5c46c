"""The page in a real browser: what people do with it, and what may go wrong."""

import concurrent.futures
import dataclasses
import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Browser, ConsoleMessage, Page, Position, Route, expect

from benchmarks.screenshot import take
from hm3_jax.retrieval.server.collection import Answer, Map, Museum, Query, Theme
from hm3_jax.retrieval.server.pictures import Hung, Pictures
from tests.retrieval.browsing import chromium, find_chromium
from tests.retrieval.proxying import proxied
from tests.retrieval.serving import WORDS, ItemCollection, WordCollection, served

pytestmark = [
    pytest.mark.skipif(
        find_chromium() is None,
        reason="takes Chromium: apt-get install chromium, or its program in CHROMIUM",
    ),
    # The browser's process closes its pipes when it is collected.
    pytest.mark.filterwarnings("ignore::ResourceWarning"),
]

# Only ends what hangs, also where the machine is slow.
expect.set_options(timeout=60_000)

# A picture of one point, for museum-00.
DOT = bytes.fromhex(
    "89504e470d0a1a0a0000000d49484452000000010000000108060000001f15c4890000000d494441"
    "54789c63f8ffffff7f0009fb03fd05434ecf0000000049454e44ae426082"
)
SCREENS = {"wide": (1280, 900), "narrow": (390, 844)}


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with chromium() as browser:
        yield browser


@pytest.fixture(scope="module")
def url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with served(WordCollection(), dotted(tmp_path_factory.mktemp("root"))) as url:
        yield url


def dotted(root: Path) -> Pictures:
    """Two pictures of museum-00."""
    (root / "dot.png").write_bytes(DOT)
    room = [Hung("dot.png", "view"), Hung("dot.png", "painting", "The <b>Dot</b>")]
    return Pictures(
        root,
        lambda museum: [room] if museum == "museum-00" else [],
        lambda reference: root / reference,
    )


# What Chromium itself says where a request is refused or nobody answers.
REFUSED = "Failed to load resource: the server responded with a status of 4"
GONE = "Failed to load resource: net::ERR_CONNECTION_REFUSED"


class Visit:
    """A page, and what its console said."""

    def __init__(self, page: Page):
        self.page = page
        self.said: list[str] = []
        page.on("console", self._hear)
        page.on("pageerror", lambda error: self.said.append(str(error)))

    def _hear(self, message: ConsoleMessage) -> None:
        if message.type in ("error", "warning"):
            self.said.append(message.text)

    def go(self, url: str) -> None:
        self.page.goto(url)
        self.settle()

    def settle(self) -> None:
        expect(self.page.locator("#content")).not_to_have_attribute("aria-busy", "true")

    def ids(self) -> list[str]:
        return [
            str(card.get_attribute("data-id"))
            for card in self.page.locator(".card").all()
        ]


@pytest.fixture(params=[SCREENS["wide"]], ids=["wide"])
def visit(browser: Browser, request: pytest.FixtureRequest) -> Iterator[Visit]:
    width, height = request.param
    context = browser.new_context(viewport={"width": width, "height": height})
    visit = Visit(context.new_page())
    yield visit
    context.close()
    assert visit.said == []


def search(visit: Visit, text: str) -> None:
    box = visit.page.get_by_label("What would you like to see?")
    box.fill(text)
    box.press("Enter")
    expect(visit.page).to_have_url(re.compile("query="))
    visit.settle()


def test_search_filter_like_and_back(visit: Visit, url: str) -> None:
    page = visit.page
    visit.go(url)
    expect(page.get_by_role("heading", level=1)).to_have_text("30 museums in 3 themes")
    search(visit, "harbour storm")
    assert visit.ids()[:2] == ["museum-00", "museum-06"]
    assert len(visit.ids()) == 12
    expect(page.get_by_role("status")).to_have_text("12 museums, best match first")

    page.get_by_label("marine").check(force=True)
    expect(page).to_have_url(f"{url}/?query=harbour+storm&theme=marine")
    expect(page.get_by_role("status")).to_contain_text("10 museums in marine")
    assert set(visit.ids()) == {f"museum-{i:02d}" for i in range(1, 30, 3)}

    page.get_by_role("link", name="More like this").first.click()
    expect(page.get_by_role("heading", level=1)).to_contain_text("More like Museum of")
    assert "like=museum-01" in page.url and len(visit.ids()) == 9
    page.go_back()
    expect(page).to_have_url(f"{url}/?query=harbour+storm&theme=marine")
    expect(page.get_by_label("marine")).to_be_checked()
    visit.settle()
    assert visit.ids()[0] == "museum-01"


def test_a_shared_address_shows_the_same(
    visit: Visit, browser: Browser, url: str
) -> None:
    visit.go(url)
    search(visit, "king. Queen & lantern?")
    visit.page.get_by_label("portrait").check(force=True)
    expect(visit.page).to_have_url(re.compile("theme=portrait"))
    visit.settle()
    context = browser.new_context()
    other = Visit(context.new_page())
    other.go(visit.page.url)
    assert other.ids() == visit.ids() != []
    text = other.page.get_by_label("What would you like to see?").input_value()
    assert text == "king. Queen & lantern?"
    expect(other.page.get_by_label("portrait")).to_be_checked()
    assert other.said == []
    context.close()


def test_cards_say_what_carried_the_match(visit: Visit, url: str) -> None:
    visit.go(f"{url}/?query=harbour. storm")
    card = visit.page.locator(".card").first
    expect(card.locator(".why")).to_contain_text("harbour +0.50")
    expect(card.locator(".why")).to_contain_text("storm +0.25")
    # Sorted, and without the third room, which made it worse.
    expect(card.locator(".why")).to_contain_text("Room 2 +0.30Room 1 +0.10")
    expect(card.locator(".why")).not_to_contain_text("Room 3")


@pytest.fixture(scope="module")
def items(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with served(ItemCollection(), dotted(tmp_path_factory.mktemp("items"))) as url:
        yield url


def test_each_sentence_stands_beside_the_picture_that_answers_it(
    visit: Visit, items: str
) -> None:
    visit.go(f"{items}/?query=harbour. storm. king. lantern. queen&theme=landscape")
    page = visit.page
    card = page.locator("[data-id=museum-00]")
    lines = card.locator(".answers > ul > li")
    expect(lines).to_have_count(3)
    expect(lines.nth(0)).to_contain_text("harbourRoom 1, view 1 – 0.50")
    expect(lines.nth(1)).to_contain_text("stormRoom 1, The <b>Dot</b> – 0.40")
    expect(lines.nth(2)).to_contain_text("kingRoom 3, view 1 – 0.30")
    small = lines.nth(1).get_by_role("img", name="The <b>Dot</b> of Room 1")
    assert small.evaluate("image => image.decode().then(() => image.naturalWidth)")
    with page.expect_popup() as original:
        small.click()
    assert "/api/picture?museum=museum-00&room=0&number=1" in original.value.url
    # A room without a picture is a door; what does not answer is said to.
    expect(lines.nth(2).locator(".doors")).to_be_visible()
    card.get_by_text("2 more").click()
    expect(card.locator(".weak")).to_have_count(2)
    expect(card.locator(".weak").first).to_contain_text(
        "lanternRoom 1, The <b>Dot</b> – no"
    )

    card.get_by_role("heading").get_by_role("link").click()
    expect(page.get_by_role("heading", level=1)).to_contain_text("number 0")
    expect(page.locator(".room.lit")).to_have_count(2)
    expect(page.locator("figure.answering q")).to_have_text(["harbour", "storm"])
    expect(page.locator(".room").nth(2).locator("q")).to_have_text("king")
    expect(page.locator(".answers > ul > li")).to_have_count(3)


def test_what_finds_museums_is_chosen_and_said(visit: Visit, items: str) -> None:
    page = visit.page
    visit.go(f"{items}/?query=harbour storm")
    cards = page.locator(".card")
    expect(cards.nth(0).locator(".found")).to_have_text("Found by pictures")
    expect(cards.nth(1).locator(".found")).to_have_text("Found by pictures and words")
    expect(cards.nth(1).locator("mark")).to_have_text("harbour")
    page.get_by_label("Words", exact=True).check(force=True)
    expect(page).to_have_url(f"{items}/?query=harbour+storm&match=words")
    visit.settle()
    expect(page.get_by_label("Words", exact=True)).to_be_focused()
    expect(page.locator(".found")).to_have_count(0)
    page.get_by_label("Pictures and words").check(force=True)
    expect(page).to_have_url(f"{items}/?query=harbour+storm")


def test_the_slider_goes_from_this_museum_to_its_like(visit: Visit) -> None:
    collection = ItemCollection()
    with served(collection) as url:
        visit.go(f"{url}/?query=king")
        slider = visit.page.get_by_role("slider")
        expect(slider).to_have_value("3")
        assert collection.asked[-1].theme_weight is None
        slider.focus()
        visit.page.keyboard.press("End")
        expect(visit.page).to_have_url(f"{url}/?query=king&theme_weight=10")
        visit.settle()
        expect(slider).to_be_focused()
        assert collection.asked[-1].theme_weight == 10
        # It stays where it is for the next search, and back at first it is unsaid.
        search(visit, "queen")
        expect(visit.page).to_have_url(f"{url}/?query=queen&theme_weight=10")
        slider.fill("3")
        expect(visit.page).to_have_url(f"{url}/?query=queen")


def test_nothing_that_fits_is_said_in_words(visit: Visit, items: str) -> None:
    page = visit.page
    visit.go(f"{items}/?query=nowhere king")
    expect(page.get_by_role("status")).to_have_text("Nothing here shows this well.")
    expect(page.locator(".card").first).to_be_hidden()
    expect(
        page.get_by_role("img", name="Map of 30 museums", exact=True)
    ).to_be_visible()
    page.get_by_text("Show the nearest museums anyway").click()
    expect(page.locator(".card").first).to_be_visible()


def test_a_picture_is_searched_with(visit: Visit, items: str, tmp_path: Path) -> None:
    page = visit.page
    visit.go(items)
    # As many bytes as make it show a king.
    content = DOT + bytes((2 - len(DOT)) % len(WORDS))
    file = {"name": "a king.png", "mimeType": "image/png", "buffer": content}
    page.get_by_label("Or search with a picture").set_input_files([file])  # pyright: ignore
    expect(page.get_by_role("heading", level=1)).to_have_text("Like a king.png")
    visit.settle()
    assert visit.ids()[:2] == ["museum-01", "museum-02"]
    # The same where it is dropped on the page, which may not know the collection yet.
    held: list[Route] = []
    page.route("**/api/collection", lambda route: held.append(route))
    page.goto(items)
    page.evaluate(
        """bytes => {
          const data = new DataTransfer();
          const file = new File([new Uint8Array(bytes)], "b.png", {type: "image/png"});
          data.items.add(file);
          const place = document.querySelector("#content");
          const options = {dataTransfer: data, bubbles: true, cancelable: true};
          place.dispatchEvent(new DragEvent("drop", options));
        }""",
        list(content),
    )
    expect(page.locator("#content")).to_have_attribute("aria-busy", "true")
    for route in held:
        route.continue_()
    page.unroute("**/api/collection")
    expect(page.get_by_role("heading", level=1)).to_have_text("Like b.png")
    visit.settle()
    assert visit.ids()[:2] == ["museum-01", "museum-02"]
    page.get_by_label("marine").check(force=True)
    expect(page).to_have_url(f"{items}/?picture=b.png&theme=marine")
    expect(page.get_by_role("status")).to_contain_text("in marine")
    # A file is not in the address.
    page.reload()
    expect(page.get_by_role("alert")).to_contain_text("b.png is no longer available")


def test_a_museum_with_pictures(visit: Visit, url: str) -> None:
    results = f"{url}/?query=harbour+storm&theme=landscape"
    visit.go(results)
    page = visit.page
    page.get_by_role("link", name="Museum of harbour and storm, number 0").click()
    expect(page.get_by_role("heading", level=1)).to_be_focused()
    expect(page.get_by_text("One sees a harbour. One sees a storm.")).to_be_visible()
    expect(page.locator(".room")).to_have_count(3)
    painting = page.get_by_role("img", name="The <b>Dot</b>")
    expect(painting).to_be_visible()
    assert painting.evaluate("image => image.decode().then(() => image.naturalWidth)")
    page.get_by_role("link", name="Back to the results").click()
    expect(page).to_have_url(results)
    visit.settle()
    assert visit.ids()[0] == "museum-00"


class Sampled(WordCollection):
    """A collection that is too large for a map of all of it."""

    def map(self, most: int) -> Map:
        return super().map(2)


@pytest.mark.parametrize("whole", [True, False], ids=["whole", "sampled"])
def test_the_map_opens_what_is_clicked(visit: Visit, whole: bool) -> None:
    with served(WordCollection() if whole else Sampled()) as url:
        # Among the hits, which a map has in any case; no other is as far left and up.
        visit.go(f"{url}/?like=museum-06")
        assert "museum-24" in visit.ids()
        corner = Position(x=26, y=26)
        visit.page.locator("canvas").hover(position=corner)
        expect(visit.page.locator(".tip")).to_contain_text("number 24")
        visit.page.locator("canvas").click(position=corner)
        title = visit.page.get_by_role("heading", level=1)
        expect(title).to_contain_text("number 24")
        assert "museum=museum-24" in visit.page.url


def test_the_map_is_seen_from_nearer(visit: Visit, url: str) -> None:
    visit.go(f"{url}/?like=museum-06")
    page, canvas = visit.page, visit.page.locator("canvas")
    corner = Position(x=26, y=26)
    page.get_by_role("button", name="Zoom in").click()
    canvas.hover(position=corner)
    expect(page.locator(".tip")).to_be_hidden()
    box = canvas.bounding_box()
    assert box is not None
    # Everything is 1.6 times as far from the middle; this brings the corner back.
    page.mouse.move(box["x"] + 30, box["y"] + 30)
    page.mouse.down()
    page.mouse.move(
        box["x"] + 30 + 0.6 * (box["width"] / 2 - 26),
        box["y"] + 30 + 0.6 * (box["height"] / 2 - 26),
    )
    page.mouse.up()
    canvas.hover(position=corner)
    expect(page.locator(".tip")).to_contain_text("number 24")
    page.get_by_role("button", name="Zoom out").click()
    canvas.hover(position=corner)
    expect(page.locator(".tip")).to_contain_text("number 24")


def test_the_map_without_a_mouse(visit: Visit, url: str) -> None:
    visit.go(f"{url}/?view=map&query=king")
    page = visit.page
    expect(
        page.get_by_role("img", name="Map of 30 museums, 12 of them highlighted")
    ).to_be_visible()
    page.locator("summary").nth(1).focus()
    page.keyboard.press("Enter")
    expect(page.get_by_role("link", name="number 28")).to_be_visible()
    page.keyboard.press("Tab")
    expect(page.locator("a:focus")).to_contain_text("number 1")
    page.keyboard.press("Enter")
    expect(page.get_by_role("heading", level=1)).to_contain_text("number 1")


def test_all_of_it_without_a_mouse(visit: Visit, url: str) -> None:
    visit.go(url)
    page = visit.page
    page.keyboard.press("Tab")
    expect(page.get_by_role("link", name="Skip to the results")).to_be_focused()
    for _ in range(4):
        page.keyboard.press("Tab")
    expect(page.get_by_label("What would you like to see?")).to_be_focused()
    page.keyboard.type("storm")
    page.keyboard.press("Enter")
    expect(page.get_by_role("status")).to_contain_text("12 museums")
    page.keyboard.press("Tab")  # Search
    page.keyboard.press("Tab")  # the themes
    page.keyboard.press("ArrowRight")
    expect(page).to_have_url(f"{url}/?query=storm&theme=landscape")
    visit.settle()
    # Whoever is among the themes stays there when results arrive.
    expect(page.get_by_label("landscape")).to_be_focused()


def test_show_more_has_an_address(visit: Visit, url: str) -> None:
    visit.go(f"{url}/?query=king")
    visit.page.get_by_role("link", name="Show more").click()
    expect(visit.page.locator(".card")).to_have_count(24)
    assert "top_k=24" in visit.page.url


def test_nothing_found(visit: Visit, browser: Browser) -> None:
    with served(WordCollection(museums=2)) as url:
        visit.go(f"{url}/?like=museum-00&theme=landscape")
        expect(visit.page.get_by_role("status")).to_have_text(
            "No museum found in landscape"
        )
        visit.page.get_by_role("link", name="Search in all themes").click()
        expect(visit.page.locator(".card")).to_have_count(1)


@pytest.mark.parametrize(
    ("address", "line"),
    [
        ("/?query=123", "query: expected words, found digits only"),
        ("/?query=king&theme=cubism", "theme: expected one of landscape, marine"),
        ("/?museum=nobody", "museum: expected the id of a museum here, found 'nobody'"),
        ("/?like=%3Cscript%3E", "museum: expected the id of a museum here"),
    ],
)
def test_what_the_server_refuses_is_said(
    browser: Browser, url: str, address: str, line: str
) -> None:
    page = browser.new_page()
    visit = Visit(page)
    page.goto(url + address)
    expect(page.get_by_role("alert")).to_contain_text(line)
    expect(page.get_by_role("button", name="Try again")).to_have_count(0)
    page.get_by_role("link", name="Back to the start").click()
    expect(page.get_by_role("heading", level=1)).to_have_text("30 museums in 3 themes")
    expect(page.get_by_role("alert")).to_be_empty()
    page.close()
    assert len(visit.said) == 1 and visit.said[0].startswith(REFUSED)


def test_a_server_that_has_gone_and_comes_back(browser: Browser) -> None:
    page = browser.new_page()
    visit = Visit(page)
    with served(WordCollection()) as url:
        page.goto(url)
        expect(page.locator("canvas")).to_be_visible()
    page.get_by_label("What would you like to see?").fill("king")
    page.get_by_role("button", name="Search", exact=True).click()
    expect(page.get_by_role("alert")).to_contain_text("The server does not respond.")
    with served(WordCollection(), port=int(url.rpartition(":")[2])):
        page.get_by_role("button", name="Try again").click()
        expect(page.locator(".card")).to_have_count(12)
        expect(page.get_by_role("alert")).to_be_empty()
    page.close()
    assert set(visit.said) == {GONE}


@pytest.mark.parametrize("strips", [True, False], ids=["strips", "passes on"])
def test_the_page_below_a_path_of_a_proxy(
    visit: Visit, tmp_path: Path, strips: bool
) -> None:
    page, asked = visit.page, list[str]()
    page.on("request", lambda request: asked.append(request.url))
    root_path = "" if strips else "/museums"
    with (
        served(WordCollection(), dotted(tmp_path), root_path=root_path) as url,
        proxied(url, "/museums", strips=strips) as outside,
    ):
        visit.go(f"{outside}/")
        search(visit, "harbour storm")
        assert page.url == f"{outside}/?query=harbour+storm"
        page.get_by_role("link", name="number 0").click()
        painting = page.get_by_role("img", name="The <b>Dot</b>")
        expect(painting).to_be_visible()
        small = "image => image.decode().then(() => image.naturalWidth)"
        assert painting.evaluate(small) == 1
        with page.expect_popup() as original:
            painting.click()
        assert original.value.url.startswith(f"{outside}/api/picture?")
        page.get_by_role("link", name="More like this").click()
        expect(page.get_by_role("heading", level=1)).to_contain_text("More like")
        page.get_by_role("link", name="Map", exact=True).click()
        expect(page).to_have_url(f"{outside}/?view=map")
        visit.settle()
        page.reload()
        visit.settle()
        page.get_by_role("link", name="Museum search").click()
        expect(page).to_have_url(f"{outside}/")
        visit.settle()
    assert [address for address in asked if not address.startswith(outside)] == []
    assert any("/api/thumbnail?" in address for address in asked)


def test_examples_lead_to_results(visit: Visit, url: str) -> None:
    visit.go(url)
    visit.page.get_by_role("link", name="A storm.").click()
    visit.settle()
    assert "query=A+storm." in visit.page.url
    assert visit.ids()[0] == "museum-00"


class ManyThemes(WordCollection):
    """Every museum has a theme of its own, as in Museums3k."""

    @property
    def themes(self) -> list[Theme]:
        return [Theme(f"theme {i:02d}", 1) for i in range(len(self.ids))]

    def answer(self, query: Query) -> Answer | ValueError:
        found = super().answer(dataclasses.replace(query, theme=None))
        assert isinstance(found, Answer)
        hits = [
            dataclasses.replace(hit, theme=f"theme {hit.id[-2:]}") for hit in found.hits
        ]
        chosen = [hit for hit in hits if query.theme in (None, hit.theme)]
        return Answer(found.sentences, chosen)

    def map(self, most: int) -> Map:
        return dataclasses.replace(super().map(most), themes=[*range(len(self.ids))])


def test_many_themes_are_a_list_to_choose_from(visit: Visit) -> None:
    with served(ManyThemes()) as url:
        visit.go(f"{url}/?query=king&top_k=30&view=map")
        page = visit.page
        expect(page.get_by_role("status")).to_contain_text("Highlighted: 12 museums")
        expect(page.locator(".legend li")).to_have_count(0)
        page.get_by_text("All museums 30").click()
        expect(page.locator(".list a")).to_have_count(30)
        page.get_by_role("link", name="Show them as results").click()
        page.get_by_label("Theme").focus()
        page.get_by_label("Theme").select_option("theme 01")
        expect(page).to_have_url(f"{url}/?query=king&theme=theme+01")
        visit.settle()
        assert visit.ids() == ["museum-01"]
        expect(page.get_by_label("Theme")).to_be_focused()


def test_the_chosen_theme_is_in_sight_on_a_small_screen(
    browser: Browser, url: str
) -> None:
    page = browser.new_page(viewport={"width": 320, "height": 600})
    Visit(page).go(f"{url}/?query=king&theme=portrait")
    expect(page.locator("label", has_text="portrait")).to_be_in_viewport(ratio=1)
    # The row is pushed aside, the page is not.
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")
    page.close()


@pytest.mark.parametrize(
    "scheme", ["light", pytest.param("dark", marks=pytest.mark.thorough)]
)
@pytest.mark.parametrize("screen", SCREENS)
def test_axe_finds_no_serious_problem(
    browser: Browser, items: str, screen: str, scheme: str
) -> None:
    width, height = SCREENS[screen]
    context = browser.new_context(
        viewport={"width": width, "height": height},
        color_scheme="dark" if scheme == "dark" else "light",
    )
    visit = Visit(context.new_page())
    for address in (
        "/",
        "/?query=harbour. storm. king. queen&theme=landscape",
        "/?query=nowhere",
        "/?museum=museum-00&query=harbour",
        "/?view=map",
        "/?like=museum-03",
        "/?museum=nobody",
    ):
        visit.go(items + address)
        for folded in visit.page.locator("summary").all():
            if folded.is_visible():
                folded.click()
        violations = Axe().run(visit.page).response["violations"]
        assert [
            (found["id"], node["html"])
            for found in violations
            if found["impact"] in ("serious", "critical")
            for node in found["nodes"]
        ] == []
        assert visit.page.evaluate(
            "document.documentElement.scrollWidth <= innerWidth"
        ), f"{address} scrolls sideways"
    assert len(visit.said) == 1 and visit.said[0].startswith(REFUSED)
    context.close()


def test_nothing_is_fetched_from_elsewhere(repository: Path) -> None:
    folder = repository / "hm3_jax" / "retrieval" / "page"
    named = re.compile(r"https?://(?!www\.w3\.org/)")
    assert list(folder.iterdir())
    assert [f.name for f in folder.iterdir() if named.search(f.read_text())] == []


def test_the_picture_for_the_readme(url: str, tmp_path: Path) -> None:
    # Playwright runs once in a thread, and the fixtures have it in this one.
    with concurrent.futures.ThreadPoolExecutor(1) as thread:
        thread.submit(take, url, "A storm.", tmp_path / "page.png").result()
    picture = (tmp_path / "page.png").read_bytes()
    assert picture.startswith(b"\x89PNG")
    assert len(picture) < 300_000


class PlainCollection(WordCollection):
    """Of one theme, with rooms that have names; an engine found what may not be all."""

    @property
    def themes(self) -> list[Theme]:
        return [Theme("no theme", len(self.ids))]

    def answer(self, query: Query) -> Answer | ValueError:
        found = super().answer(query)
        if isinstance(found, ValueError):
            return found
        hits = [
            dataclasses.replace(
                hit, theme="no theme", room_titles=("Calm", None, "Storm")
            )
            for hit in found.hits
        ]
        notes = ["“the” may say nothing."]
        return dataclasses.replace(found, hits=hits, exact=False, notes=notes)

    def museum(self, museum: str) -> Museum:
        found = super().museum(museum)
        rooms = [
            dataclasses.replace(room, title=title)
            for room, title in zip(found.rooms, ("Calm", None, "Storm"), strict=True)
        ]
        return dataclasses.replace(found, theme="no theme", rooms=rooms)

    def map(self, most: int) -> Map:
        places = WordCollection(len(self.ids)).map(most)
        return dataclasses.replace(places, themes=[0] * len(places.ids))


def test_names_of_rooms_and_what_is_not_sure_are_shown(visit: Visit) -> None:
    with served(PlainCollection()) as url:
        page = visit.page
        visit.go(f"{url}/?query=harbour. storm")
        expect(page.get_by_role("status")).to_have_text(
            "12 museums, best match first, approximate: some that match better may be "
            "missing"
        )
        expect(page.locator(".note")).to_have_text("“the” may say nothing.")
        why = page.locator(".card").first.locator(".why")
        expect(why).to_contain_text("Why it matched")
        expect(why).to_contain_text("Room 2 +0.30Calm +0.10")
        # A theme that all have tells nothing.
        expect(page.get_by_text("no theme")).to_have_count(0)
        expect(page.get_by_role("radio")).to_have_count(0)
        page.locator(".card h3 a").first.click()
        expect(page.locator(".room h3")).to_have_text(["Calm", "Room 2", "Storm"])
        expect(page.get_by_text("Similar museums are close together.")).to_be_visible()
