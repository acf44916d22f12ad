"""Data sets: what is taken for the published file and what is not, and downloads that fail without leaving a trace."""

from __future__ import annotations

import hashlib
import http.server
import threading
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import replace
from datetime import datetime
from pathlib import Path

import numpy as np
import pytest
from experiment_support import eager, make_run
from hypothesis import given
from hypothesis import strategies as st

from experiments.datasets import data_folder, ettm2, generated, load_series
from experiments.environment_options import SeriesOptions
from experiments.errors import UserError
from experiments.expand import resolve
from experiments.spec import Arm, Row
from experiments.store import Store
from experiments.worker import DONE, train_runs

HEADER = "date,HUFL,HULL,MUFL,MULL,LUFL,LULL,OT"


def file_of(rows: np.ndarray) -> bytes:
    """Return rows in the published form, written with all their digits."""
    begin = datetime(2016, 7, 1)
    lines = [
        f"{begin + number * ettm2.SPACING},{','.join(map(repr, row))}" for number, row in enumerate(rows.astype(float).tolist())
    ]
    return "\n".join([HEADER, *lines, ""]).encode()


def pretend(monkeypatch: pytest.MonkeyPatch, **changes: str) -> None:
    monkeypatch.setattr(ettm2, "FILE", replace(ettm2.FILE, **changes))


@pytest.fixture(scope="module")
def published() -> bytes:
    """Return a file that looks like the published one, with the numbers of the generated series."""
    return file_of(generated.load())


@pytest.fixture
def path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, published: bytes) -> Path:
    """Return where ETTm2 is looked for; nothing is there. The digest is that of the file above."""
    pretend(monkeypatch, digest=f"md5:{hashlib.md5(published).hexdigest()}")
    monkeypatch.setenv("STREAMING_RL_DATA", str(tmp_path / "datasets"))
    return tmp_path / "datasets" / "ETTm2.csv"


# The published file


def test_channels_are_read_to_the_last_digit(path, published):
    path.parent.mkdir()
    path.write_bytes(published)
    channels = load_series("ETTm2")
    assert channels.dtype == np.float64
    assert (channels == generated.load()).all()
    assert ettm2.load(path).sha256 == hashlib.sha256(published).hexdigest()


def test_lines_may_end_as_on_windows(published):
    assert (ettm2.parse(published.replace(b"\n", b"\r\n")) == generated.load()).all()


def test_data_folder_is_data_in_the_working_directory_unless_named(tmp_path, monkeypatch):
    monkeypatch.delenv("STREAMING_RL_DATA", raising=False)
    assert data_folder().absolute() == tmp_path / "data"
    monkeypatch.setenv("STREAMING_RL_DATA", str(tmp_path / "elsewhere"))
    assert data_folder() == tmp_path / "elsewhere"


def test_channels_cannot_be_changed_by_one_reader_for_another(path, published):
    path.parent.mkdir()
    path.write_bytes(published)
    for name in ("ETTm2", "ETTm2-generated"):
        with pytest.raises(ValueError, match="read-only"):
            load_series(name)[0, 0] = 0.0


def third_line(change: Callable[[str], str]) -> Callable[[bytes], bytes]:
    """Return what changes the line of the second reading."""

    def damage(content: bytes) -> bytes:
        lines = content.decode().split("\n")
        lines[2] = change(lines[2])
        return "\n".join(lines).encode()

    return damage


def last_number(word: str) -> Callable[[bytes], bytes]:
    """Return what puts a word in the place of the second oil temperature."""
    return third_line(lambda line: f"{line.rpartition(',')[0]},{word}")


@pytest.mark.parametrize(
    ("damage", "reason"),
    [
        (lambda text: b"", "its first line is '' instead of 'date,HUFL"),
        (lambda text: b"<!DOCTYPE html>\n<html></html>\n", "its first line is '<!DOCTYPE html>' instead of 'date,HUFL"),
        (lambda text: bytes(range(256)), "it is not a text file"),
        (lambda text: text.replace(b"HULL", b"LULL", 1), "its first line is 'date,HUFL,LULL"),
        (lambda text: text[: len(text) // 2], "rows instead of 69,680"),
        (lambda text: text[:-20], r"line 69681 (cannot be read|does not hold)"),
        (lambda text: text + text.splitlines()[-1] + b"\n", "it has 69,681 rows instead of 69,680"),
        (third_line(lambda line: line.rpartition(",")[0]), "line 3 does not hold 7 finite numbers"),
        (third_line(lambda line: line + ",1.0"), "line 3 does not hold 7 finite numbers"),
        (last_number("nan"), "line 3 does not hold 7 finite"),
        (last_number("1e999"), "line 3 does not hold 7 finite"),
        (last_number("warm"), "line 3 cannot be read"),
        (third_line(lambda line: "tomorrow" + line[19:]), "line 3 cannot be read: 'tomorrow,"),
        (third_line(lambda line: ""), "line 3 cannot be read: ''"),
        (third_line(lambda line: line.replace("00:15", "00:16")), "line 3 is not 15 minutes after"),
        (third_line(lambda line: line.replace(":00,", ":00+00:00,")), "line 3 is not 15 minutes after"),
    ],
)
def test_another_file_is_refused_with_the_reason_and_stays(path, published, damage, reason):
    path.parent.mkdir()
    content = damage(published)
    path.write_bytes(content)
    with pytest.raises(UserError, match=rf"ETTm2.csv is not the published ETTm2.csv: .*{reason}.*; remove it") as error:
        load_series("ETTm2")
    assert "\n" not in str(error.value)
    assert path.read_bytes() == content


def test_file_put_right_is_read_again(path, published):
    path.parent.mkdir()
    path.write_bytes(published[:-20])
    with pytest.raises(UserError):
        load_series("ETTm2")
    path.write_bytes(published)
    assert load_series("ETTm2").shape == (69_680, 7)


def test_folder_in_place_of_the_file_is_named(path):
    path.mkdir(parents=True)
    with pytest.raises(UserError, match=r"ETTm2.csv cannot be read"):
        load_series("ETTm2")


@pytest.fixture
def four_rows(monkeypatch: pytest.MonkeyPatch) -> bytes:
    monkeypatch.setattr(ettm2, "ROWS", 4)
    return file_of(np.arange(28.0).reshape(4, 7))


def test_any_damage_is_noticed_or_leaves_numbers(four_rows):
    assert ettm2.parse(four_rows).tolist() == np.arange(28.0).reshape(4, 7).tolist()

    @given(st.integers(0, len(four_rows)), st.integers(0, 30), st.binary(max_size=12) | st.sampled_from([b"\n", b",", b"inf"]))
    def damaged(position, length, put):
        content = four_rows[:position] + put + four_rows[position + length :]
        channels = np.zeros((4, 7))
        with suppress(ValueError):
            channels = ettm2.parse(content)
        assert channels.shape == (4, 7)
        assert np.isfinite(channels).all()

    damaged()


@given(st.binary())
def test_any_bytes_are_refused(content):
    with pytest.raises(ValueError, match="it is not a text file"):
        ettm2.parse(b"\xff" + content)
    with pytest.raises(ValueError, match=r"it is not|its first line"):
        ettm2.parse(content)


# Files of another content


CHANGED = last_number("30.001")


def test_changed_value_is_refused_with_both_remedies(path, published):
    path.parent.mkdir()
    path.write_bytes(CHANGED(published))
    sha256 = hashlib.sha256(CHANGED(published)).hexdigest()
    with pytest.raises(UserError, match=rf"is not the published ETTm2.csv: its MD5 is .*; remove it .*data_sha256={sha256}"):
        load_series("ETTm2")


def test_file_that_the_configuration_names_is_taken_and_no_other(path, published):
    path.parent.mkdir()
    path.write_bytes(CHANGED(published))
    sha256 = hashlib.sha256(CHANGED(published)).hexdigest()
    assert load_series("ETTm2", sha256)[1, -1] == 30.001
    path.write_bytes(published)
    ettm2._load.cache_clear()
    with pytest.raises(UserError, match=rf"and not {sha256}, which data_sha256 names"):
        load_series("ETTm2", sha256)
    with pytest.raises(UserError, match="ETTm2-generated is read from no file"):
        load_series("ETTm2-generated", sha256)


def test_accepted_file_is_part_of_a_runs_name_and_the_published_one_is_not(path):
    arm, row = Arm("", "stream_td"), Row("ETTm2", (), steps=100, seeds=1, bin_width=1)
    usual = resolve(row, arm, 0)
    accepting = resolve(replace(row, environment={"data_sha256": "a" * 64}), arm, 0)
    assert "data_sha256" not in dict(usual.environment)
    assert dict(accepting.environment)["data_sha256"] == "a" * 64
    assert usual.run_id != accepting.run_id
    with pytest.raises(UserError, match="64 hexadecimal digits"):
        SeriesOptions(data_sha256="ab")


@pytest.mark.parametrize(("env_id", "named"), [("ETTm2", True), ("ETTm2-generated", False)])
def test_runs_record_the_files_that_they_read(path, published, tmp_path, env_id, named):
    path.parent.mkdir()
    path.write_bytes(published)
    store = Store(tmp_path / "runs")
    run = make_run(env_id, steps=40, algorithm="stream_td")
    assert train_runs([run], store, eager(), lambda: False) == DONE
    expected = {"ETTm2.csv": hashlib.sha256(published).hexdigest()} if named else None
    assert store.provenance(run.run_id).get("data") == expected


# Downloads


class _Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        status, body, claimed = self.server.answer  # type: ignore[attr-defined]
        self.send_response(status)
        self.send_header("Content-Length", str(claimed))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None: ...


@pytest.fixture
def site(monkeypatch: pytest.MonkeyPatch) -> Iterator[http.server.ThreadingHTTPServer]:
    """Serve `site.answer` (status, body, length that is claimed) from the address of the data set."""
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), _Handler)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    pretend(monkeypatch, url=f"http://127.0.0.1:{server.server_port}/ETTm2.csv")
    monkeypatch.setenv("no_proxy", "*")
    yield server
    server.shutdown()
    thread.join()
    server.server_close()


def test_missing_file_is_fetched_once_and_kept(path, published, site):
    site.answer = (200, published, len(published))  # type: ignore[attr-defined]
    assert (load_series("ETTm2") == generated.load()).all()
    assert path.read_bytes() == published
    assert [file.name for file in path.parent.iterdir()] == ["ETTm2.csv"]
    site.answer = (404, b"", 0)  # type: ignore[attr-defined]
    assert load_series("ETTm2").shape == (69_680, 7)


@pytest.mark.parametrize(
    ("status", "share", "claimed", "reason"),
    [
        (404, 0.0, 0.0, r"cannot be fetched from http://127.0.0.1.*\(HTTPError 404\)"),
        (503, 1.0, 1.0, r"\(HTTPError 503\)"),
        (200, 0.5, 1.0, r"cannot be fetched from http://127.0.0.1"),  # the connection breaks
        (200, 0.5, 0.5, r"what came from http://127.0.0.1.* is not it: it has .* rows instead of 69,680"),
        (200, 0.0, 0.0, r"is not it: its first line is ''"),
        (200, 1.0, 1.0, r"is not it: its MD5 is .* instead of"),
    ],
)
def test_failed_download_says_where_to_put_the_file_and_leaves_none(path, published, site, status, share, claimed, reason):
    if (status, share) == (200, 1.0):
        published = CHANGED(published)
    size = len(published)
    site.answer = (status, published[: int(share * size)], int(claimed * size))  # type: ignore[attr-defined]
    with pytest.raises(UserError, match=reason) as error:
        load_series("ETTm2")
    assert f"put it at {path}" in str(error.value)
    assert "\n" not in str(error.value)
    assert list(path.parent.iterdir()) == []


def test_without_network_the_address_and_the_place_are_named(path, site):
    site.shutdown()
    site.server_close()
    with pytest.raises(UserError, match=r"cannot be fetched from http://127.0.0.1.*\(ConnectionError\)") as error:
        load_series("ETTm2")
    assert f"put it at {path}, or use ETTm2-generated" in str(error.value)
    assert list(path.parent.iterdir()) == []


def test_folder_that_cannot_be_made_is_named(path):
    path.parent.write_text("a file")
    with pytest.raises(UserError, match=r"cannot be written .*; set STREAMING_RL_DATA"):
        load_series("ETTm2")


def test_address_is_the_one_of_the_published_repository():
    assert ettm2.FILE.url == "https://raw.githubusercontent.com/zhouhaoyi/ETDataset/main/ETT-small/ETTm2.csv"


# The generated series


def test_generated_series_needs_no_file_and_has_the_published_shape(path):
    series = load_series("ETTm2-generated")
    assert (series.shape, series.dtype) == ((69_680, 7), np.float64)
    assert np.isfinite(series).all()
    assert not path.parent.exists()


def test_generated_series_is_the_one_that_results_were_made_with():
    # Pinned: whoever changes it gives it another name.
    digest = hashlib.sha256(np.round(generated.load() * 1000).astype(np.int64).tobytes()).hexdigest()
    assert digest[:16] == "49b838f4b703c046"


def test_generated_series_has_days_and_years_and_a_slow_oil_temperature():
    series = generated.load()
    load, oil = series[:, 0], series[:, -1]

    def correlation(a: np.ndarray, b: np.ndarray) -> float:
        return float(np.corrcoef(a, b)[0, 1])

    day, year = 96, 35_064
    assert correlation(load[:-day], load[day:]) > correlation(load[: -day // 2], load[day // 2 :]) + 0.5
    assert correlation(oil[:-year], oil[year:]) > correlation(oil[: -year // 2], oil[year // 2 :]) + 0.5
    assert np.diff(oil).std() / oil.std() < 0.2 * np.diff(load).std() / load.std()
