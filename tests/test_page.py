"""The HTML page of a board: one file, safe whatever a result says, and used here as a person would."""

import base64
import hashlib
import json
import re
import shutil
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from command import Run
from selenium import webdriver
from selenium.webdriver.chrome.service import Service
from selenium.webdriver.common.by import By
from selenium.webdriver.common.keys import Keys
from selenium.webdriver.support.ui import Select

from mixbench.leaderboard import Analysis, check_board, read_board
from mixbench.leaderboard.export import plain
from mixbench.leaderboard.page import by_metric, embedded, render_page
from mixbench.tasks import find_tasks

CLASSIC = Path(__file__).parents[1] / "leaderboards" / "classic"
EVIL = "<script>window.evil = 1</script>"
FLAGS = (
    "--headless --no-sandbox --disable-gpu --disable-quic --no-first-run --disable-background-networking"
    " --disable-component-update --disable-sync --window-size=1300,1600"
)


@pytest.fixture(scope="module")
def analysis() -> Analysis:
    """The committed board, its last row under a name that would be a script."""
    tasks = [task for task in find_tasks().values() if task.benchmark == "classic"]
    found = read_board(CLASSIC, tasks)
    *before, last = found.standings
    contender = replace(last.contender, rows=(replace(last.contender.rows[0], model=EVIL),))
    return replace(found, standings=[*before, replace(last, contender=contender)])


@pytest.fixture(scope="module")
def page(analysis: Analysis) -> str:
    return render_page(analysis)


def data_of(page: str) -> dict[str, object]:
    (found,) = re.findall(r'<script id="data" type="application/json">(.*)</script>', page)
    data: dict[str, object] = json.loads(found)
    return data


def test_the_page_is_one_file_that_asks_for_no_other(page: str) -> None:
    assert not re.findall(r"""(?:src|href|action)\s*=\s*["'](?!data:,)|url\(|@import|fetch\(|XMLHttp""", page)
    assert "default-src 'none'" in page


def test_the_policy_of_the_page_lets_its_own_script_and_style_run_and_nothing_else(page: str) -> None:
    (policy,) = re.findall(r'<meta http-equiv="Content-Security-Policy" content="([^"]*)">', page)
    stated = dict(part.strip().split(" ", 1) for part in policy.split(";"))
    for tag in ("script", "style"):
        (content,) = re.findall(rf"<{tag}>(.*?)</{tag}>", page, re.DOTALL)
        digest = base64.b64encode(hashlib.sha256(content.encode()).digest()).decode()
        assert stated.pop(f"{tag}-src") == f"'sha256-{digest}'"
    none = "'none'"
    assert stated == {"default-src": none, "img-src": "data:", "base-uri": none, "form-action": none}
    markup = re.sub(r"<(script|style)\b.*?</\1>", "", page, flags=re.DOTALL)
    assert not re.findall(r"""\s(?:on\w+|style)\s*=\s*["']""", markup)


def test_no_name_is_markup(page: str) -> None:
    assert EVIL not in page
    assert page.count("<script") == 2
    assert embedded({"a": "</script>&<!--"}) == '{"a":"\\u003c/script\\u003e\\u0026\\u003c!--"}'


def test_the_page_holds_the_analysis_the_commands_and_the_scores_of_each_query(
    page: str, analysis: Analysis
) -> None:
    data = data_of(page)
    first, *others = data["boards"]
    assert first == {**json.loads(json.dumps(plain(analysis))), "metric": "nDCG@10"}
    assert len(others) == 5
    assert all(each["rows"] for each in others)
    assert data["commands"]["bm25 dc8885adb309"][0].startswith("mixbench eval -m bm25 -t classic/")
    adi = data["queries"]["adi"]
    result = next(
        standing.contender.results("classic/adi")[0]
        for standing in analysis.standings
        if standing.contender.model == "bm25"
    )
    scores = analysis.evidence.scores(result, "ndcg_at_10")
    assert dict(zip(adi["ids"], adi["scores"]["bm25 dc8885adb309"], strict=True)) == {
        query_id: round(score, 3) for query_id, score in scores.items()
    }


def test_every_metric_is_a_choice_the_main_one_first(analysis: Analysis) -> None:
    first, *others = by_metric(analysis)
    assert first is analysis
    assert [set(each.metrics.values()) for each in others] == [
        {"mrr_at_10"}, {"map_at_100"}, {"recall_at_100"}, {"precision_at_10"}, {"judged_at_10"},
    ]  # fmt: skip


def test_the_command_writes_the_page_and_check_writes_none(run: Run) -> None:
    run("eval", "-m", "bm25", "-m", "bm25-code", "--offline")
    ended = run("leaderboard", "quickstart", "--html", "board.html", "--allow-dirty")
    assert ended.out.splitlines() == ["leaderboards/quickstart/README.md", "board.html"]
    assert len(data_of(Path("board.html").read_text())["boards"]) == 6
    ended = run("leaderboard", "quickstart", "--html", "other.html", "--check")
    assert (ended.status, Path("other.html").exists()) == (2, False)
    assert "--check writes nothing" in ended.err


def test_queries_stand_in_the_page_where_they_are_asked_for_and_may(run: Run) -> None:
    run("eval", "-m", "bm25", "--offline")
    words = ["leaderboard", "quickstart", "--html", "board.html", "--allow-dirty"]
    asked = "Recursively remove an entire directory tree."
    assert (run(*words).status, asked in Path("board.html").read_text()) == (0, False)
    assert (run(*words, "--with-text").status, asked in Path("board.html").read_text()) == (0, True)
    ended = run("leaderboard", "classic", "--output", CLASSIC.parent, "--html", "no.html", "--with-text")
    assert (ended.status, Path("no.html").exists()) == (1, False)
    assert "its licence" in ended.err
    assert "leave out --with-text" in ended.err
    assert run("leaderboard", "quickstart", "--with-text").status == 2


def test_a_forged_page_beside_the_results_fails_the_check(tmp_path: Path) -> None:
    folder = tmp_path / "classic"
    shutil.copytree(CLASSIC, folder)
    tasks = [task for task in find_tasks().values() if task.benchmark == "classic"]
    assert (folder / "index.html").is_file()
    assert check_board(folder, tasks) == []
    html = (folder / "index.html").read_text()
    (folder / "index.html").write_text(html.replace('"model":"bm25"', '"model":"best"'))
    (problem,) = check_board(folder, tasks)
    assert (
        "index.html: not the page of these results; run `mixbench leaderboard classic` with --html" in problem
    )


# In a browser


@pytest.fixture(scope="module")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[webdriver.Chrome]:
    chromium, driver = shutil.which("chromium"), shutil.which("chromedriver")
    if chromium is None or driver is None:
        pytest.skip("no chromium and chromedriver here: install Debian's chromium and chromium-driver")
    options = webdriver.ChromeOptions()
    options.binary_location = chromium
    for flag in [*FLAGS.split(), f"--user-data-dir={tmp_path_factory.mktemp('chromium')}"]:
        options.add_argument(flag)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
    opened = webdriver.Chrome(options=options, service=Service(driver))
    yield opened
    opened.quit()


@pytest.fixture
def opened(browser: webdriver.Chrome, page: str, tmp_path: Path) -> Iterator[webdriver.Chrome]:
    (tmp_path / "page.html").write_text(page)
    browser.get((tmp_path / "page.html").as_uri())
    yield browser
    assert browser.get_log("browser") == []


def column(browser: webdriver.Chrome, number: int) -> list[str]:
    cells = browser.find_elements(By.CSS_SELECTOR, f"#board tbody tr > :nth-child({number})")
    return [cell.text for cell in cells]


def heads(browser: webdriver.Chrome) -> list[str]:
    return [each.text for each in browser.find_elements(By.CSS_SELECTOR, "#board thead th")]


def test_a_click_and_a_key_on_a_head_sort_the_rows(opened: webdriver.Chrome) -> None:
    before = column(opened, 6)
    assert heads(opened)[5] == "adi"
    opened.find_element(By.CSS_SELECTOR, '#board button[data-id="task adi"]').click()
    falling = column(opened, 6)
    assert falling != before
    scored = [score for score in falling if score != "–"]
    assert [score[:4] for score in scored] == sorted(
        (each[:4] for each in before if each != "–"), reverse=True
    )
    opened.switch_to.active_element.send_keys(Keys.ENTER)
    rising = column(opened, 6)
    assert rising[0] == scored[-1]
    missing = ["–"] * (len(before) - len(scored))  # rows without a score come last, either way
    assert (falling[len(scored) :], rising[len(scored) :]) == (missing, missing)
    (head,) = opened.find_elements(By.CSS_SELECTOR, '#board th[aria-sort="ascending"]')
    assert head.text == "adi ▴"


def test_a_filter_leaves_the_rows_that_have_its_words(opened: webdriver.Chrome) -> None:
    every = len(column(opened, 1))
    opened.find_element(By.ID, "filter").send_keys("RRF")
    names = column(opened, 1)
    assert 0 < len(names) < every
    assert all(name.startswith("rrf-") for name in names)
    assert opened.find_element(By.ID, "count").text == f"{len(names)} of {every} rows"


def test_another_metric_has_other_scores(opened: webdriver.Chrome) -> None:
    before = column(opened, 2)
    Select(opened.find_element(By.ID, "metric")).select_by_visible_text("Recall@100")
    assert column(opened, 2) != before
    assert "mean Recall@100" in opened.find_element(By.ID, "pareto").text


def test_a_column_can_be_left_out(opened: webdriver.Chrome) -> None:
    opened.find_element(By.CSS_SELECTOR, ".menu summary").click()
    (box,) = [
        label for label in opened.find_elements(By.CSS_SELECTOR, "#columns label") if label.text == "Borda"
    ]
    assert "Borda" in heads(opened)
    box.click()
    assert "Borda" not in heads(opened)


def test_the_heat_map_shades_scores(opened: webdriver.Chrome) -> None:
    cell = opened.find_element(By.CSS_SELECTOR, "#board tbody td:nth-child(6)")
    plain_colour = cell.value_of_css_property("background-color")
    opened.find_element(By.ID, "shade").click()
    cell = opened.find_element(By.CSS_SELECTOR, "#board tbody td:nth-child(6)")
    assert cell.value_of_css_property("background-color") != plain_colour


def test_two_systems_are_compared_query_by_query(opened: webdriver.Chrome) -> None:
    assert len(opened.find_elements(By.CSS_SELECTOR, "#scatter circle")) == 35
    Select(opened.find_element(By.ID, "across")).select_by_visible_text("bm25 dc8885adb309")
    Select(opened.find_element(By.ID, "task")).select_by_visible_text("cacm")
    assert len(opened.find_elements(By.CSS_SELECTOR, "#scatter circle")) == 52
    assert opened.find_element(By.ID, "pair-count").text.startswith("nDCG@10, 52 queries: ")


def test_a_name_that_would_be_a_script_is_shown_and_not_run(opened: webdriver.Chrome) -> None:
    assert any(name.startswith(EVIL) for name in column(opened, 1))
    assert opened.execute_script("return window.evil") is None


def test_each_row_shows_the_commands_that_make_it_again(opened: webdriver.Chrome) -> None:
    (summary,) = [
        each
        for each in opened.find_elements(By.CSS_SELECTOR, "#again summary")
        if each.text[:8] == "bm25 dc8"
    ]
    summary.click()
    assert "mixbench eval -m bm25 -t classic/adi" in opened.find_element(By.ID, "again").text


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_it_fits_a_phone_in_light_and_dark(opened: webdriver.Chrome, scheme: str) -> None:
    media = {"features": [{"name": "prefers-color-scheme", "value": scheme}]}
    opened.execute_cdp_cmd("Emulation.setEmulatedMedia", media)
    phone = {"width": 390, "height": 800, "deviceScaleFactor": 2, "mobile": True}
    opened.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", phone)
    wide = opened.execute_script("return document.documentElement.scrollWidth")
    paper = opened.find_element(By.TAG_NAME, "body").value_of_css_property("background-color")
    opened.execute_cdp_cmd("Emulation.clearDeviceMetricsOverride", {})
    assert wide <= 390
    assert paper == {"light": "rgba(252, 252, 250, 1)", "dark": "rgba(20, 23, 28, 1)"}[scheme]
