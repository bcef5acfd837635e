"""The report page in a real browser: that it is drawn, searched, filtered and printed, and that no attack gets anywhere."""

import json
import time
import zlib

import pytest

from e2e import browser as chromium
from e2e import pictures
from e2e.conftest import Workflow
from e2e.test_report import FLOW, SECRET


@pytest.fixture(scope="module")
def browser():
    program = chromium.find()
    if program is None:
        pytest.skip(chromium.HOW_TO_GET)
    with chromium.Browser.start(program) as started:
        yield started


@pytest.fixture(scope="module")
def page(tmp_path_factory):
    """The page of an execution whose tasks attack it; one for all tests, which only look at it."""
    user = tmp_path_factory.mktemp("report")
    workflow = Workflow(user / "home", user)
    for name in FLOW["secrets"]:
        workflow.ok("secrets", "set", name, input=SECRET if name == "TOKEN" else "unused-value-1234")
    file = user / "attacked.yaml"
    file.write_text(json.dumps(FLOW), encoding="utf-8")
    workflow.ok("run", file)
    workflow.ok("execution", "report", "latest", "--html", "report.html")
    return user / "report.html"


def until(browser, script, wanted):
    deadline = time.monotonic() + 30  # one core may be busy
    while (found := browser.evaluate(script)) != wanted:
        assert time.monotonic() < deadline, f"{script} is {found!r}, expected {wanted!r}"
        time.sleep(0.02)


SHOWN = "[...document.querySelectorAll('#lines li')].filter(each => each.offsetParent).map(each => each.textContent)"


def colours(path):
    """Return how many bytes of a PNG differ: a page on which nothing is drawn has few colours, and compresses to little."""
    return len(set(zlib.decompress(b"".join(chunks(path.read_bytes())))))


def chunks(data):
    place = 8
    while place < len(data):
        size, kind = int.from_bytes(data[place : place + 4]), data[place + 4 : place + 8]
        if kind == b"IDAT":
            yield data[place + 8 : place + 8 + size]
        place += 12 + size


def test_the_page_is_drawn_and_no_attack_runs(browser, page, tmp_path):
    browser.open(page)
    assert [page.as_uri()] == browser.requests, "nothing else is loaded"
    assert [] == browser.complaints
    assert browser.evaluate("window.pwned === undefined && document.images.length === 0")
    assert browser.evaluate("document.title").startswith("attacked ")
    boxes = browser.evaluate(
        "[...document.querySelectorAll('.graph a')].map(a => a.querySelector('.name').textContent)"
    )
    assert ["print", "fail", "note", "alert"] == boxes
    assert 1 == browser.evaluate("document.querySelectorAll('.graph .line').length")
    first, second = browser.evaluate(
        "[...document.querySelectorAll('.graph a')].slice(0, 2).map(a => a.getBoundingClientRect().left)"
    )
    assert first < second
    bars = browser.evaluate(
        "[...document.querySelectorAll('.spans rect')].map(r => [r.className.baseVal, r.getBoundingClientRect().width])"
    )
    assert ["ran", "failed", "ran"] == [kind for kind, _ in bars]
    assert all(width > 0 for _, width in bars)
    browser.screenshot(tmp_path / "page.png")
    assert colours(tmp_path / "page.png") > 50


def test_markup_that_slips_in_can_neither_run_nor_load(browser, page, tmp_path):
    """Escaping is the first wall; this is the second: the same page with attacks put in raw."""
    evil = "<script>window.pwned = 1</script><img src='https://example.invalid/x.png' onerror='window.pwned = 2'>"
    bad = tmp_path / "bad.html"
    bad.write_text(page.read_text().replace("<main>", "<main>" + evil))
    browser.open(bad)
    assert browser.evaluate("window.pwned === undefined")
    until(browser, "document.getElementById('found').textContent.endsWith(' lines')", True)
    assert ([bad.as_uri()], ["https://example.invalid/x.png"]) == (browser.requests, browser.blocked)
    assert any("Content Security Policy" in complaint for complaint in browser.complaints)


def test_the_log_is_searched_and_narrowed_from_the_keyboard(browser, page):
    browser.open(page)
    total = len(browser.evaluate(SHOWN))
    assert f"{total} of {total} lines" == browser.evaluate("document.getElementById('found').textContent")
    browser.press("/")
    assert "search" == browser.evaluate("document.activeElement.id")
    browser.press("The Token")
    until(browser, "document.getElementById('found').textContent", f"1 of {total} lines")
    (line,) = browser.evaluate(SHOWN)
    assert "the token is ***SECRET***" in line
    assert ["the token"] == browser.evaluate("[...document.querySelectorAll('mark')].map(each => each.textContent)")
    browser.key("Escape", 27)
    until(browser, "document.getElementById('found').textContent", f"{total} of {total} lines")
    assert 0 == browser.evaluate("document.querySelectorAll('mark').length")
    browser.press("<img")
    until(browser, "document.getElementById('found').textContent", f"1 of {total} lines")
    assert browser.evaluate("window.pwned === undefined && document.images.length === 0"), "marking makes no markup"
    browser.press("no such text")
    until(browser, SHOWN, [])


def test_a_box_leads_to_its_task_and_a_task_to_its_log(browser, page):
    browser.open(page)
    assert not browser.evaluate("document.getElementById('task-1').open")
    browser.evaluate("document.querySelectorAll('.graph a')[1].focus()")
    browser.key("Enter", 13)
    until(browser, "document.getElementById('task-1').open", True)
    text = browser.evaluate("document.getElementById('task-1').innerText")
    assert "Bearer {{ secrets.TOKEN }}" in text
    assert "exit-code, exit code 3" in text
    browser.evaluate("document.querySelector('#task-1 button').click()")
    lines = browser.evaluate(SHOWN)
    assert lines
    assert all("fail" in line for line in lines)


def test_lines_for_those_who_look_for_a_fault_are_shown_when_asked_for(browser, page):
    browser.open(page)
    fault = "for who looks for a fault"
    assert not any(fault in line for line in browser.evaluate(SHOWN))
    browser.evaluate("document.getElementById('debug').click()")
    assert any("debug " + fault in line for line in browser.evaluate(SHOWN))


def test_the_tab_key_reaches_everything(browser, page):
    browser.open(page)
    reached = set()
    for _ in range(40):
        browser.key("Tab", 9)
        reached.add(browser.evaluate("document.activeElement.id || document.activeElement.tagName.toLowerCase()"))
    assert {"a", "summary", "search", "only", "lines"} <= reached


def test_it_is_dark_where_one_wants_it_dark_and_fits_a_narrow_window(browser, page):
    background = "getComputedStyle(document.body).backgroundColor"
    browser.open(page)
    assert "rgb(255, 255, 255)" == browser.evaluate(background)
    browser.prefer(scheme="dark")
    red, green, blue = (int(part) for part in browser.evaluate(background)[4:-1].split(","))
    assert red + green + blue < 150
    browser.resize(360, 700)
    assert browser.evaluate("document.documentElement.scrollWidth") <= 360, "the page itself does not scroll sideways"


def test_on_paper_every_task_is_open_and_the_tools_are_gone(browser, page):
    browser.open(page)
    assert browser.pdf().startswith(b"%PDF-")
    browser.prefer(media="print")
    assert "none" == browser.evaluate("getComputedStyle(document.querySelector('form.tool')).display")
    browser.evaluate("dispatchEvent(new Event('beforeprint'))")
    assert browser.evaluate("[...document.querySelectorAll('details')].every(each => each.open)")
    browser.evaluate("dispatchEvent(new Event('afterprint'))")
    assert not browser.evaluate("[...document.querySelectorAll('details')].some(each => each.open)")


def test_without_scripts_everything_can_be_read(browser, page):
    browser.call("Emulation.setScriptExecutionDisabled", value=True)
    browser.open(page)
    browser.call("Emulation.setScriptExecutionDisabled", value=False)
    assert browser.evaluate("document.querySelectorAll('.tool:not([hidden])').length") == 0
    browser.evaluate("document.getElementById('lines').scrollIntoView()")
    assert "***SECRET***" in browser.evaluate("document.getElementById('lines').textContent")
    assert browser.evaluate("document.getElementById('lines').clientHeight") > 50


def test_a_long_log_is_shown_and_searched_at_once(browser, workflow):
    flow = {
        "id": "long",
        "tasks": [
            {"id": "a", "type": "core/python.run", "inputs": {"script": "for n in range(100_000): print('line', n)"}}
        ],
    }
    file = workflow.user / "long.yaml"
    file.write_text(json.dumps(flow), encoding="utf-8")
    workflow.ok("run", file, "--quiet")
    workflow.ok("execution", "report", "latest", "--html", "long.html")
    browser.open(workflow.user / "long.html")
    # The page has 20,000; one of them is for those who look for a fault.
    until(browser, "document.getElementById('found').textContent", "19,999 of 19,999 lines")
    browser.press("/")
    browser.press("line 9999")
    until(browser, "document.getElementById('found').textContent", "10 of 19,999 lines")
    shown = browser.evaluate(SHOWN)
    assert 11 == len(shown), "ten lines, and the note that others are left out"
    assert "80,001 lines of a are left out here" in shown[0]


def test_the_picture_of_the_readme_can_be_made_again(browser, tmp_path):
    assert 0 == pictures.main([str(tmp_path)])
    picture = (tmp_path / "report.png").read_bytes()
    assert (1100, True) == (int.from_bytes(picture[16:20]), 800 < int.from_bytes(picture[20:24]) < 3000)
    assert 20_000 < len(picture) < 400_000
    assert "docs/pictures/report.png" in (pictures.ROOT / "README.md").read_text(encoding="utf-8")
