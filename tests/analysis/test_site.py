"""The site of all results: what it says, where its links lead, and what writing it leaves alone."""

from __future__ import annotations

import dataclasses
import itertools
import json
import re
import shutil
import subprocess
import sys
from pathlib import Path
from urllib.parse import unquote, urldefrag

import pytest
from analysis_support import barrier, fill_as_published
from site_support import Page, read
from typer.testing import CliRunner

from analysis import compare, report
from analysis.readme import RESULTS
from analysis.site import content, inventory, picture, shown, text, write
from analysis.site.live import Watcher
from experiments import catalog
from experiments.catalog import experiment_names, load_experiment
from experiments.errors import UserError
from experiments.expand import runs_of
from experiments.spec import Experiment
from experiments.store import Owner, Store


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the site of all that is checked in."""
    folder = tmp_path_factory.mktemp("all") / "site"
    write.write(content.collect(RESULTS), folder)
    return folder


@pytest.fixture(scope="module")
def pages(site: Path) -> dict[str, Page]:
    return {path.name: read(path) for path in site.glob("*.html")}


@pytest.fixture
def small(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> tuple[Experiment, Path]:
    """Return one experiment that has been run, the only one there is, and its results."""
    experiment = barrier()
    fill_as_published(Store(tmp_path / "runs"), experiment)
    report.build(experiment, "quick", Store(tmp_path / "runs"), tmp_path / "results")
    monkeypatch.setattr(catalog, "experiment_names", lambda: [experiment.name])
    monkeypatch.setattr(catalog, "load_experiment", lambda name: experiment)
    monkeypatch.setattr(content.described, "spec_text", lambda name: "A spec.\n\n1. As the code has it.")
    return experiment, tmp_path / "results"


# All that is checked in


def test_every_experiment_and_every_result_has_its_place(site: Path, pages: dict[str, Page]) -> None:
    assert {f"{name}.html" for name in experiment_names()} | {"index.html", "faq.html"} <= set(pages)
    for path in RESULTS.glob("*/*/manifest.json"):
        name, preset = path.parent.parent.name, path.parent.name
        (image,) = (one for one in pages[f"{name}.html"].all("img") if f"/{preset}/" in one.attributes["src"])
        assert (site / unquote(image.attributes["src"])).read_bytes() == (path.parent / "figures" / f"{name}.png").read_bytes()
        whole = text.plain((path.parent / "finding.txt").read_text())
        assert image.attributes["alt"].partition(". ")[2][:60] in whole
        words = re.sub(r"\s+", " ", "".join(one.text for one in pages[f"{name}.html"].all("main")))
        assert f"Preset {preset}" in words
        assert f"python -m experiments.run {name} --preset {preset}" in words


def test_every_link_leads_somewhere_within_the_site_or_to_a_known_place(site: Path, pages: dict[str, Page]) -> None:
    ids = {name: {one.attributes["id"] for one in page.elements if "id" in one.attributes} for name, page in pages.items()}
    outside = set()
    for name, page in pages.items():
        assert len(ids[name]) == sum("id" in one.attributes for one in page.elements), f"{name} has an id twice"
        for element in page.elements:
            for key in ("href", "src"):
                target, fragment = urldefrag(element.attributes.get(key, ""))
                if target.startswith("https://"):
                    assert element.tag == "a", f"{name} loads {target}"
                    outside.add(target.split("/")[2])
                elif target and not target.startswith("data:"):
                    assert (site / unquote(target)).is_file(), f"{name}: {target}"
                if fragment:
                    assert fragment in ids[target or name], f"{name}: {target}#{fragment}"
    assert outside == {"arxiv.org", "github.com"}
    assert "http" not in (site / "style.css").read_text() + (site / "table.js").read_text()


def test_every_page_reads_in_order(pages: dict[str, Page]) -> None:
    for name, page in pages.items():
        levels = [int(one.tag[1]) for one in page.all("h1", "h2", "h3", "h4", "h5", "h6")]
        assert levels[0] == 1, name
        assert levels.count(1) == 1, name
        assert all(after <= before + 1 for before, after in itertools.pairwise(levels)), f"{name}: {levels}"
        assert [len(page.all(tag)) for tag in ("header", "nav", "main", "footer")] == [1, 1, 1, 1], name
        assert page.all("html")[0].attributes["lang"] == "en"
        assert len({page.all("title")[0].text for page in pages.values()}) == len(pages), "two pages have one title"
        assert all(len(one.attributes["alt"]) > 30 for one in page.all("img")), name
        assert all(one.attributes.get("scope") in ("col", "row") for one in page.all("th")), name
        labelled = {one.attributes["for"] for one in page.all("label")}
        assert all(one.attributes["id"] in labelled for one in page.all("input", "select")), name
        ids = {one.attributes.get("id") for one in page.elements}
        named = [one for one in page.elements if "aria-labelledby" in one.attributes]
        assert all(one.attributes["aria-labelledby"] in ids for one in named), name
        # What scrolls is reached by the keyboard.
        assert all(one.attributes.get("tabindex") == "0" for one in page.all("pre")), name


def test_front_page_has_every_figure_of_every_paper_once(pages: dict[str, Page]) -> None:
    rows = [one for one in pages["index.html"].all("tr") if "data-paper" in one.attributes]
    counted = [row.attributes["data-paper"] for row in rows]
    assert {name: counted.count(name) for name in counted} | {"ours": 0} == {
        **{paper.name: len(paper.figures) for paper in inventory.papers()},
        "ours": 0,
    }
    assert {one.attributes["data-state"] for one in rows} <= set(shown.STATES)


def test_what_came_out_differently_is_what_compare_finds_outside(pages: dict[str, Page]) -> None:
    result = CliRunner().invoke(compare.app, ["--strict", "--results", str(RESULTS)])
    assert result.exit_code == 1
    _, _, told = result.output.partition("\nOutside: ")
    (section,) = (one for one in pages["index.html"].all("section") if one.attributes["aria-labelledby"] == "different")
    outside = told.strip(" .\n").split("; ")
    assert section.text.count(" on ") >= len(outside) >= 1
    for one in outside:
        found = re.match(r"(\w+), (.*) on (.*) in (\w+), (below|above)", " ".join(one.split()))
        assert found
        assert f"{found[2]} on {shown.paper_name(found[3])}" in section.text
        assert f"preset {found[4]}" in section.text


def test_papers_list_has_every_figure_that_an_experiment_names() -> None:
    for name in experiment_names():
        experiment = load_experiment(name)
        paper = inventory.paper_of(experiment.source)
        if paper is None:
            assert inventory.question(name), f"{name} is ours, and papers.toml does not say what it asks"
            continue
        shows = {figure.label for figure in inventory.figures_of(experiment)}
        whole = {re.sub(r"\D", "", label) for label in shows}
        assert set(inventory.labels_of(experiment.source)) <= shows | whole, name
    for paper in inventory.papers():
        assert all(figure.claim or figure.absent for figure in paper.figures)


@pytest.mark.parametrize(
    ("source", "labels"),
    [
        ("Stream-X (arXiv:2410.14606v2), Figs. 6 and 12", ("6", "12")),
        ("UPGD (arXiv:2404.00781), Fig. 1b and c", ("1b", "1c")),
        ("UPGD (arXiv:2404.00781), Figs. 18 to 20", ("18", "19", "20")),
        ("UPGD (arXiv:2404.00781), Figs. 3, 4, 5 and 13", ("3", "4", "5", "13")),
        ("UPGD (arXiv:2404.00781), Figs. 6a and 14", ("6a", "14")),
        ("ours", ()),
    ],
)
def test_figures_are_read_off_a_source(source: str, labels: tuple[str, ...]) -> None:
    assert inventory.labels_of(source) == labels


def test_questions_name_threads_of_the_official_repositories(pages: dict[str, Page]) -> None:
    threads = [one.attributes["href"] for one in pages["faq.html"].all("a") if "github.com" in one.attributes["href"]]
    assert len(pages["faq.html"].all("h2")) >= 6
    known = r"https://github\.com/(mohmdelsayed/streaming-drl|gauthamvasan/avg)/(issues|pull)/\d+"
    assert all(re.fullmatch(known, thread) for thread in threads)
    asked = ("LayerNorm", "trace", "plot", "clipped", "TD errors", "encoder")
    headings = " ".join(one.text for one in pages["faq.html"].all("h2"))
    assert all(word in headings for word in asked)


def test_learners_tell_of_themselves_and_none_is_imported_for_it() -> None:
    code = (
        "import sys; from experiments.described import *; from experiments.registry import ALGORITHMS\n"
        "print([n for n, one in ALGORITHMS.items() if bool(learner_text(n)) != bool(one.gives)], 'torch' in sys.modules)\n"
        "print(learner_text('stream_ac').count('Deviations'), repr(learner_text('of-somebody-else')))"
    )
    told = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=RESULTS.parent)
    assert told.stdout == "[] False\n1 ''\n"


@pytest.mark.parametrize("arguments", [["--preset", "quick"], []])
def test_comparing_everything_needs_results_and_no_preset(arguments: list[str], tmp_path: Path) -> None:
    result = CliRunner().invoke(compare.app, [*arguments, "--results", str(tmp_path)])
    assert result.exit_code == 2
    assert ("goes with an experiment" if arguments else "there are no results in") in " ".join(result.output.split())


# Writing


def test_the_same_results_give_the_same_bytes_and_the_second_writing_changes_nothing(site: Path, tmp_path: Path) -> None:
    assert write.write(content.collect(RESULTS), site) == []
    write.write(content.collect(RESULTS), tmp_path / "site")
    assert _contents(tmp_path / "site") == _contents(site)


def test_pages_that_are_no_more_go_and_other_files_stay(small: tuple[Experiment, Path], tmp_path: Path) -> None:
    _, results = small
    shutil.copytree(results / "barrier/quick", results / "barrier/laptop")
    folder = tmp_path / "site"
    write.write(content.collect(results), folder)
    assert (folder / "data/barrier/laptop/figures/barrier.png").exists()
    (folder / "mine.txt").write_text("mine")
    shutil.rmtree(results / "barrier/laptop")
    changed = write.write(content.collect(results), folder)
    assert folder / "barrier.html" in changed
    assert not (folder / "data/barrier/laptop").exists()
    assert (folder / "mine.txt").read_text() == "mine"


def test_a_folder_of_something_else_is_refused(small: tuple[Experiment, Path], tmp_path: Path) -> None:
    _, results = small
    (tmp_path / "thesis").mkdir()
    (tmp_path / "thesis/index.html").write_text("mine")
    arguments = ["--results", str(results), "--site", str(tmp_path / "thesis")]
    result = CliRunner().invoke(report.app, arguments)
    assert result.exit_code == 2
    assert "choose an empty or new folder with --site" in " ".join(result.output.split())
    assert [path.name for path in (tmp_path / "thesis").iterdir()] == ["index.html"]
    assert (tmp_path / "thesis/index.html").read_text() == "mine"


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["--preset", "quick"], "go with an experiment"),
        (["--set", "gamma=0.9"], "go with an experiment"),
        (["stream_barrier", "--watch"], "leave out 'stream_barrier'"),
        (["--watch", "--picture", "p.png"], "leave out --watch"),
    ],
)
def test_options_that_do_not_go_together_are_refused(arguments: list[str], told: str, tmp_path: Path) -> None:
    others = ["--site", str(tmp_path / "site")]
    result = CliRunner().invoke(report.app, [*arguments, *others])
    assert result.exit_code == 2
    assert told in " ".join(result.output.split())
    assert list(tmp_path.iterdir()) == []


def test_a_picture_without_a_browser_says_what_is_missing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(picture, "browser", lambda: None)
    with pytest.raises(UserError, match="apt-get install chromium"):
        picture.take(tmp_path / "index.html", tmp_path / "p.png")


# What is said


def test_a_short_run_is_in_part_and_the_published_protocol_in_full(small: tuple[Experiment, Path]) -> None:
    experiment, results = small
    (found,), _ = shown.read_all(experiment, results)
    assert found.state == shown.PART
    assert found.short_budget == "500k of 20M steps, 2 to 3 of 30 seeds"
    as_run = dataclasses.replace(experiment, presets={**experiment.presets, "paper": experiment.preset("quick")})
    manifest = json.loads((results / "barrier/quick/manifest.json").read_text())
    fewest = min(len(row["arms"]) and arm["seeds"] for row in manifest["rows"] for arm in row["arms"])
    for row in manifest["rows"]:
        row["paper"] = {"steps": 500_000, "seeds": fewest}
    (results / "barrier/quick/manifest.json").write_text(json.dumps(manifest))
    (found,), _ = shown.read_all(as_run, results)
    assert found.state == shown.FULL
    for row in manifest["rows"]:
        row["paper"] = {"steps": 500_000, "seeds": fewest + 1}
    (results / "barrier/quick/manifest.json").write_text(json.dumps(manifest))
    assert shown.read(as_run, results / "barrier/quick").state == shown.PART
    manifest["rows"][0]["environment"]["data_sha256"] = ["0" * 64]
    (results / "barrier/quick/manifest.json").write_text(json.dumps(manifest))
    assert shown.read(as_run, results / "barrier/quick").state == shown.OTHER
    del manifest["rows"][0]["environment"]["data_sha256"]
    manifest["rows"][0]["env_id"] = "ETTm2-generated"
    (results / "barrier/quick/manifest.json").write_text(json.dumps(manifest))
    assert shown.read(as_run, results / "barrier/quick").state == shown.OTHER
    assert content.Subject(experiment, ()).state == shown.NONE


def test_a_changed_preset_says_what_was_changed_and_counts_for_no_verdict(
    small: tuple[Experiment, Path], tmp_path: Path
) -> None:
    experiment, results = small
    report.build(experiment, "quick", Store(tmp_path / "runs"), results, seeds=2)
    (subject,) = content.collect(results).subjects
    assert [one.preset for one in subject.reports] == ["quick", "quick+seeds=2"]
    changed = subject.reports[1]
    assert "Changed in the preset: seeds = 2." in changed.deviations
    assert changed.command == "python -m experiments.run barrier --preset quick --seeds 2"
    assert sum(changed.verdicts.values()) > 0
    assert subject.verdicts == subject.reports[0].verdicts
    write.write(content.collect(results), tmp_path / "site")
    images = read(tmp_path / "site/barrier.html").all("img")
    assert all((tmp_path / "site" / unquote(one.attributes["src"])).is_file() for one in images)
    assert len(images) == 2


def test_a_report_that_cannot_be_read_is_told_and_the_rest_is_written(small: tuple[Experiment, Path], tmp_path: Path) -> None:
    _, results = small
    shutil.copytree(results / "barrier/quick", results / "barrier/laptop")
    (results / "barrier/laptop/curves.parquet").write_bytes(b"no table")
    write.write(content.collect(results), tmp_path / "site")
    page = read(tmp_path / "site/barrier.html")
    assert "Preset quick" in [one.text for one in page.all("h2")]
    assert any("laptop cannot be read" in one.text for one in page.all("p"))


def test_what_people_wrote_is_shown_and_not_obeyed(small: tuple[Experiment, Path], tmp_path: Path) -> None:
    _, results = small
    words = 'It is < 3 & "good" <script>alert(1)</script> ([elsewhere](../secret.txt), [paper](https://arxiv.org/abs/1)).'
    (results / "barrier/quick/finding.txt").write_text(words)
    write.write(content.collect(results), tmp_path / "site")
    page = read(tmp_path / "site/barrier.html")
    assert len(page.all("script")) == 1  # that of the page itself
    assert "<script>alert(1)</script> (elsewhere, paper)" in page.all("main")[0].text
    assert '"good"' in page.all("img")[0].attributes["alt"]
    assert not any("secret" in one.attributes.get("href", "") for one in page.all("a"))


def test_docstrings_become_lists_and_code() -> None:
    html = str(text.markdown("Deviations:\n1. A `cut` of\n   two lines.\n2. Another.\n\nRun\n\n    python -m x --set a=1\n"))
    assert html.count("<li>") == 2
    assert "<code>cut</code>" in html
    assert '<pre tabindex="0"><code>python -m x --set a=1' in html


def test_watching_draws_what_is_finished_and_leaves_results_alone(small: tuple[Experiment, Path], tmp_path: Path) -> None:
    experiment, results = small
    store, live, owner = Store(tmp_path / "new_runs"), tmp_path / "live", Owner()
    watcher = Watcher([experiment], store, results, live, report.build)
    before = _contents(results)
    assert watcher.look() == []
    last = runs_of(experiment, "quick")[-1]
    assert store.claim(last.run_id, owner)
    (going,) = watcher.look()
    assert (going.preset, going.running, going.finished, going.asked) == ("quick", 1, 0, 8)
    assert going.told == "no run is finished yet"
    fill_as_published(store, experiment, skip={"SAC": 1})
    store.fail(runs_of(experiment, "quick")[-2].run_id, "ValueError: too hot")
    (going,) = watcher.look()
    assert (going.finished, going.failed, going.told) == (7, 0, "")
    assert (live / "barrier/quick/figures/barrier.png").exists()
    site = content.collect(results, [going], live, watched=True)
    assert [one.preset for one in site.subjects[0].reports] == ["quick"]
    assert site.subjects[0].reports[0].folder == live / "barrier/quick"
    write.write(site, tmp_path / "site")
    assert "7 of 8 runs finished, 1 running" in read(tmp_path / "site/index.html").all("main")[0].text
    assert (
        read(tmp_path / "site/index.html").all("html")[0].attributes["data-stamp"] in (tmp_path / "site/stamp.js").read_text()
    )
    assert _contents(results) == before
    # Between two groups nothing runs, and the preset stays.
    store.release(last.run_id, owner)
    (later,) = watcher.look()
    assert (later.running, later.finished) == (0, 7)
    assert Watcher([experiment], store, results, tmp_path / "other", report.build).look() == []
    # Nobody watches any more: what only watched pages need goes.
    write.write(content.collect(results), tmp_path / "site")
    assert not (tmp_path / "site/stamp.js").exists()


def test_watching_keeps_the_earlier_figure_where_no_new_one_can_be_made(small: tuple[Experiment, Path], tmp_path: Path) -> None:
    experiment, results = small
    store, owner = Store(tmp_path / "new_runs"), Owner()
    fill_as_published(store, experiment, skip={"SAC": 1})
    store.claim(runs_of(experiment, "quick")[-1].run_id, owner)

    def build(*_: object) -> None:
        raise UserError("it needs every step; do this or that.")

    (going,) = Watcher([experiment], store, results, tmp_path / "live", build).look()
    assert "of an earlier report" in going.told
    assert len(content.collect(results, [going], tmp_path / "live").subjects[0].reports) == 1
    (going,) = Watcher([experiment], store, tmp_path / "nothing", tmp_path / "none", build).look()
    assert going.told == "it needs every step; do this or that"


def _contents(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}
