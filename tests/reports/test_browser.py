"""The page in a real browser, at desktop and phone width."""

from __future__ import annotations

import shutil
import time
from dataclasses import replace
from pathlib import Path

import pytest
from selenium import webdriver
from selenium.webdriver.chrome.options import Options
from selenium.webdriver.chrome.service import Service
from selenium.webdriver.support.ui import WebDriverWait

from armillary.reports.page import charts, write_report
from reports.plausible import explained, with_proof

DESKTOP, PHONE = (1440, 900), (390, 844)
FLAGS = (
    "--headless=new",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--no-first-run",
)


@pytest.fixture(scope="module")
def browser(tmp_path_factory):
    binary, driver = shutil.which("chromium"), shutil.which("chromedriver")
    if binary is None or driver is None:
        pytest.fail("this test needs a browser: apt-get install chromium chromium-driver")
    options = Options()
    options.binary_location = binary
    for flag in (*FLAGS, f"--user-data-dir={tmp_path_factory.mktemp('profile')}"):
        options.add_argument(flag)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
    chrome = webdriver.Chrome(options=options, service=Service(driver))
    yield chrome
    chrome.quit()


@pytest.fixture(scope="module")
def page(results, tmp_path_factory):
    path = tmp_path_factory.mktemp("page") / "report.html"
    write_report(results, path)
    return path


def set_size(browser, size):
    width, height = size
    settings = {"width": width, "height": height, "deviceScaleFactor": 1, "mobile": False}
    browser.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", settings)


def open_page(browser, path: Path, size):
    set_size(browser, size)
    browser.get(path.as_uri())
    WebDriverWait(browser, 40).until(lambda b: b.execute_script("return document.body.dataset.ready") == "yes")


def overflow(browser):
    return browser.execute_script("return document.documentElement.scrollWidth - window.innerWidth")


def narrowest_plot(browser):
    """The least width of a plotting area: one that labels have squeezed out is no chart."""
    return browser.execute_script(
        "return Math.min(...[...document.querySelectorAll('.plot')].map(p => p._fullLayout._size.w))"
    )


@pytest.mark.parametrize("size", [DESKTOP, PHONE], ids=["desktop", "phone"])
def test_the_page_draws_without_errors_or_sideways_scrolling(browser, page, results, size):
    open_page(browser, page, size)
    drawn = browser.execute_script("return document.querySelectorAll('.plot[data-drawn=yes] > .js-plotly-plot, "
                                   ".plot.js-plotly-plot[data-drawn=yes]').length")  # fmt: skip
    assert drawn == len(charts(results))
    assert overflow(browser) <= 0
    assert narrowest_plot(browser) > 120
    browser.execute_script("document.querySelectorAll('details').forEach(d => { d.open = true; })")
    assert overflow(browser) <= 0
    assert browser.get_log("browser") == []


def test_turning_the_phone_refits_the_charts(browser, page):
    open_page(browser, page, DESKTOP)
    set_size(browser, PHONE)
    time.sleep(1.0)  # Plotly resizes a moment after the window
    assert overflow(browser) <= 0
    assert narrowest_plot(browser) > 120
    labels = browser.execute_script("return document.querySelector('[data-file=layer-times]').layout.yaxis.ticktext")
    assert max(map(len, labels)) <= 20
    set_size(browser, DESKTOP)
    time.sleep(1.0)
    labels = browser.execute_script("return document.querySelector('[data-file=layer-times]').layout.yaxis.ticktext")
    assert max(map(len, labels)) > 20
    assert browser.get_log("browser") == []


def test_a_legend_entry_hides_its_series(browser, page):
    open_page(browser, page, DESKTOP)
    browser.execute_script("document.querySelector('#figure-landscape .keys button').click()")
    time.sleep(0.2)
    hidden = browser.execute_script("return document.querySelector('[data-file=landscape]').data[0].visible")
    pressed = browser.execute_script(
        "return document.querySelector('#figure-landscape .keys button').getAttribute('aria-pressed')"
    )
    assert (hidden, pressed) == (False, "false")


def test_a_chart_can_be_saved_as_a_picture(browser, page, tmp_path):
    open_page(browser, page, DESKTOP)
    browser.execute_cdp_cmd("Browser.setDownloadBehavior", {"behavior": "allow", "downloadPath": str(tmp_path)})
    browser.execute_script("document.querySelector('[data-file=layer-times] .modebar-btn').click()")
    WebDriverWait(browser, 20).until(lambda _: (tmp_path / "layer-times.png").exists())
    assert browser.get_log("browser") == []


def test_no_button_uploads_a_chart(browser, page):
    open_page(browser, page, DESKTOP)
    titles = browser.execute_script(
        "return [...document.querySelectorAll('.modebar-btn')].map(b => b.getAttribute('data-title'))"
    )
    assert set(titles) == {"Save as a picture", "Reset axes"}


def test_a_table_that_goes_on_fades_until_it_is_scrolled_to_its_end(browser, page):
    open_page(browser, page, PHONE)
    faded = "return document.querySelector('[aria-label=Metrics]').classList.contains('more-right')"
    assert browser.execute_script(faded)
    browser.execute_script("document.querySelector('[aria-label=Metrics]').scrollLeft = 5000")
    WebDriverWait(browser, 5).until(lambda b: not b.execute_script(faded))


@pytest.mark.slow  # by the clock: it says nothing where other work runs beside it
def test_the_page_opens_within_two_seconds(browser, page):
    def seconds():
        start = time.perf_counter()
        open_page(browser, page, DESKTOP)
        return time.perf_counter() - start

    assert min(seconds() for _ in range(3)) < 2.0


def test_hostile_names_and_a_poor_study_draw_too(browser, results, tmp_path):
    name = "<script>document.title = 'owned'</script><img src=x onerror=\"document.title='owned'\">" + "x" * 60
    layers = tuple(replace(layer, name=f"{name}{i}") for i, layer in enumerate(results.winner.layers))
    poor = replace(
        results,
        title=name,
        workload=name,
        winner=replace(explained(results.winner, layers=layers), name=name),
        best_of_log=explained(results.best_of_log, layers=layers),
        baseline=None,
        candidates=None,
    )
    path = tmp_path / "report.html"
    write_report(poor, path)
    open_page(browser, path, PHONE)
    assert browser.title != "owned"
    assert overflow(browser) <= 0
    assert narrowest_plot(browser) > 80
    assert browser.get_log("browser") == []


@pytest.mark.parametrize("size", [DESKTOP, PHONE], ids=["desktop", "phone"])
def test_a_proof_and_long_mappings_scroll_within_their_tables(browser, results, tmp_path, size):
    proven = with_proof(results, (3.0, 1.5, 2.0))
    long = "L3[WIO] " + " - ".join(f"K{i} P{i} Q{i} C{i}X" for i in range(2, 30))
    layers = tuple(replace(layer, mapping=long) for layer in proven.winner.layers)
    path = tmp_path / "report.html"
    write_report(replace(proven, winner=explained(proven.winner, layers=layers)), path)
    open_page(browser, path, size)
    browser.execute_script("document.querySelectorAll('details').forEach(d => { d.open = true; })")
    assert overflow(browser) <= 0
    heights = browser.execute_script(
        "return [...document.querySelectorAll('.layers tbody tr')].map(r => r.getBoundingClientRect().height)"
    )
    assert max(heights) < 90  # a mapping takes one line
    designs = browser.execute_script(
        "return [...document.querySelectorAll('.proof td.code')].map(c => c.getBoundingClientRect().width)"
    )
    assert min(designs) > 200
    assert browser.get_log("browser") == []
