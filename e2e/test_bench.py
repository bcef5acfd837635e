"""The benchmarks' own promises: what is written, what is replaced, what counts as worse, and that the page is the file."""

import getpass
import json
import os
import platform
import signal
import sqlite3
import subprocess
import sys
from contextlib import closing
from dataclasses import replace
from xml.etree import ElementTree as ET

import pytest

from bench import cluster, masking, others, page, postgres, scaling
from bench.__main__ import BENCHES, Place, main
from bench.machine import ROOT, machine
from bench.processes import processor_seconds
from bench.results import Absent, Part, Row, compared, load, save
from bench.table import figure, table, target

PLACE = Place()


def row(name="speed", **more):
    return Row(**{"name": name, "value": 2.0, "unit": "/s", "better": "higher", "yardstick": "y", "ratio": 1.0} | more)


def part(*rows, absent=(), is_quick=False):
    on = {"processor": "P", "cores": 2, "memory_gb": 1, "load": 0.1, "system": "Linux 6", "python": "3.11.7"}
    return Part(
        date="2026-01-01 00:00", machine=on, commit="abc", is_quick=is_quick, rows=tuple(rows), absent=tuple(absent)
    )


@pytest.mark.parametrize(
    ("better", "last", "ratio", "worse"),
    [
        ("higher", 1.0, 0.76, False),
        ("higher", 1.0, 0.74, True),
        ("higher", 1.0, 9.0, False),
        ("lower", 1.0, 1.24, False),
        ("lower", 1.0, 1.26, True),
        ("lower", 1.0, 0.1, False),
        ("lower", None, 9.0, False),
        ("lower", 1.0, None, False),
    ],
)
def test_a_ratio_is_worse_when_it_lost_more_than_a_quarter(better, last, ratio, worse):
    assert worse == row(better=better, last=last, ratio=ratio).is_worse


def test_what_others_have_lost_is_not_our_business():
    assert not row(better="lower", last=1.0, ratio=9.0, subject="Luigi").is_worse


@pytest.mark.parametrize(
    ("better", "target_of", "value", "ratio", "met"),
    [
        ("higher", "value", 2.0, 0.1, True),
        ("higher", "value", 1.9, 9.0, False),
        ("lower", "value", 2.0, 9.0, True),
        ("lower", "value", 2.1, 0.1, False),
        ("lower", "ratio", 9.0, 2.0, True),
        ("lower", "ratio", 0.1, 2.1, False),
        ("lower", "ratio", 0.1, None, None),
    ],
)
def test_a_target_is_for_the_value_or_for_the_ratio(better, target_of, value, ratio, met):
    assert met == row(better=better, value=value, ratio=ratio, target=2.0, target_of=target_of).is_met


def test_a_figure_is_compared_with_the_same_one_of_the_run_before():
    last = part(row(ratio=4.0), row(at=50, ratio=5.0), row(subject="Luigi", ratio=6.0), row("gone"))
    new = compared(part(row(at=50), row(), row("new")), last)
    assert [5.0, 4.0, None] == [one.last for one in new.rows]


def test_runs_of_other_sizes_are_not_compared():
    assert compared(part(row(), is_quick=True), part(row())).rows[0].last is None


def test_what_is_saved_is_what_is_loaded(tmp_path):
    results = {"a": part(row(target=1.0), row("x", at=50, ratio=None), absent=[Absent(name="y", reason="not here")])}
    save(tmp_path / "results.json", results)
    assert results == load(tmp_path / "results.json")
    assert ["results.json"] == [path.name for path in tmp_path.iterdir()]


def test_digits_that_no_measurement_has_are_not_written(tmp_path):
    save(tmp_path / "results.json", {"a": part(row(value=1 / 3))})
    assert load(tmp_path / "results.json")["a"].rows[0].value == 0.3333


def test_a_file_of_another_format_is_refused(tmp_path):
    (tmp_path / "results.json").write_text('{"format": 99, "benches": {}}')
    with pytest.raises(ValueError, match=r"^results\.json: format 99, expected 1$"):
        load(tmp_path / "results.json")


@pytest.mark.parametrize(
    ("value", "unit", "text"),
    [
        (0.000_037_3, "s", "37.3 µs"),
        (0.0126, "s", "12.6 ms"),
        (13.64, "s", "13.6 s"),
        (1234.5, "/s", "1,234 /s"),
        (34, "", "34"),
    ],
)
def test_a_figure_is_told_in_a_unit_that_suits_it(value, unit, text):
    assert text == figure(row(value=value, unit=unit))


def test_a_table_says_whose_figure_it_is_where_several_have_it():
    lines = list(
        table(part(row(target=3.0), row(subject="Luigi"), row("alone"), absent=[Absent(name="x", reason="y")]))
    )
    assert ["Autokestra: speed", "2 /s", "1 x", "MISSED: at least 3 /s"] == [
        cell.strip() for cell in lines[0].split("  ") if cell
    ]
    assert lines[1].startswith("Luigi: speed ")
    assert lines[2].startswith("alone ")
    assert lines[3].endswith("could not run: y")


def test_a_target_is_told_in_words():
    assert "at most 9 times" == target(row(better="lower", target=9.0, target_of="ratio"))
    assert "at least 2 /s" == target(row(target=2.0))


class Bench:
    """A benchmark that really runs something, and whose ratio is set by the test."""

    def __init__(self, ratio=1.0):
        self.ratio, self.trouble = ratio, None

    def __call__(self, *, quick):
        if self.trouble:
            raise self.trouble
        done = subprocess.run(["true"], check=True)
        return [
            row("true", value=float(done.returncode + 1), ratio=self.ratio, target=1.0),
            Absent(name="false", reason="quick" if quick else "not asked for"),
        ]


@pytest.fixture
def bench(tmp_path):
    """Calls the program with two such benchmarks and results of its own."""

    def call(*arguments):
        return main(arguments, benches=call.benches, place=call.place)

    call.benches = {"one": Bench(), "two": Bench()}
    call.place = Place(results=tmp_path / "results.json", docs=tmp_path / "docs")
    call.page = call.place.docs / page.PAGE
    return call


def test_a_run_writes_results_and_page(bench, capsys):
    assert bench() == 0
    written = load(bench.place.results)
    assert ["one", "two"] == list(written)
    assert [Absent(name="false", reason="not asked for")] == list(written["one"].absent)
    assert machine()["processor"] == written["one"].machine["processor"]
    assert "## one" in bench.page.read_text()
    assert "2 of 2 figures reach their target." in bench.page.read_text()
    assert "met: at least 1 /s" in capsys.readouterr().out


def test_a_run_of_some_replaces_just_those(bench):
    bench()
    first = load(bench.place.results)
    bench.benches["two"].ratio = 1.1
    assert bench("two") == 0
    second = load(bench.place.results)
    assert first["one"] == second["one"]
    assert (1.1, 1.0) == (second["two"].rows[0].ratio, second["two"].rows[0].last)
    assert ["one", "two"] == list(second)


def test_what_became_worse_is_marked_and_written(bench, capsys):
    bench()
    bench.benches["one"].ratio = 0.5
    capsys.readouterr()
    assert bench() == 0
    assert "WORSE: was 1 x" in capsys.readouterr().out
    assert "* true: 0.5 times, was 1" in bench.page.read_text()
    assert bench() == 0  # compared with the last run, which was as slow
    assert "WORSE" not in capsys.readouterr().out


def test_check_ends_with_1_when_worse_and_writes_nothing(bench, capsys):
    bench()
    before = bench.place.results.read_bytes(), bench.page.read_bytes()
    assert bench("--check") == 0
    bench.benches["one"].ratio = 0.5
    assert bench("--check") == 1
    assert "WORSE: was 1 x" in capsys.readouterr().out
    assert bench("--check", "two") == 0
    assert before == (bench.place.results.read_bytes(), bench.page.read_bytes())


def test_a_benchmark_that_fails_keeps_its_last_results_and_the_rest_runs(bench, capsys):
    bench()
    before = load(bench.place.results)
    bench.benches["one"].trouble = RuntimeError("the machine is on fire")
    bench.benches["two"].ratio = 1.1
    assert bench() == 1
    after = load(bench.place.results)
    assert before["one"] == after["one"]
    assert after["two"].rows[0].ratio == 1.1
    assert "the machine is on fire" in capsys.readouterr().err


def test_a_quick_run_writes_nothing(bench, capsys):
    assert bench("--quick") == 0
    assert "could not run: quick" in capsys.readouterr().out
    assert not bench.place.results.exists()
    assert not bench.page.exists()


def test_an_unknown_name_measures_nothing(bench, capsys):
    assert bench("one", "three") == 2
    assert capsys.readouterr() == ("", "error: no benchmark three; there are: one, two\n")


def test_a_run_writes_the_page_that_its_file_gives(bench):
    bench.benches["one"].ratio = 1.23451  # the file keeps 1.235, which the page rounds to 1.24
    bench()
    page = bench.page.read_bytes()
    assert bench("--page") == 0
    assert page == bench.page.read_bytes()


def test_the_page_can_be_written_alone(bench):
    save(bench.place.results, {"one": part(row("from a file"))})
    assert bench("--page") == 0
    assert "| from a file | 2 /s | 1 | y |" in bench.page.read_text()


def test_the_page_says_what_is_missed_and_what_proves_nothing(bench):
    save(bench.place.results, {"one": part(row("slow", target=3.0), is_quick=True)})
    bench("--page")
    assert (
        "0 of 1 figures reach their target. These do not:\n\n* slow: 2 /s, to be at least 3 /s\n"
        in bench.page.read_text()
    )
    assert "**With small sizes, so that it proves nothing:** `one`." in bench.page.read_text()


def test_the_page_says_when_the_machine_was_busy(bench):
    calm = part(row())
    save(bench.place.results, {"calm": calm, "one": replace(calm, machine={**calm.machine, "load": 3.1})})
    bench("--page")
    assert "worse than it can:** `one`." in bench.page.read_text()


@pytest.mark.parametrize("name", sorted(page.pages(load(PLACE.results), PLACE.docs)))
def test_the_page_and_its_pictures_are_what_the_results_give(name):
    expected = page.pages(load(PLACE.results), PLACE.docs)[name]
    assert expected == (PLACE.docs / name).read_text(encoding="utf-8"), "run: .venv/bin/python -m bench --page"


def test_a_page_without_as_many_marks_as_tables_is_refused(tmp_path):
    results = load(PLACE.results)
    (tmp_path / page.COMPARISON).parent.mkdir()
    (tmp_path / page.COMPARISON).write_text("# Compared\n")
    with pytest.raises(ValueError, match=r"^expected 1 pairs of marks, got 0: "):
        page.pages(results, tmp_path)
    (tmp_path / page.COMPARISON).write_text("# Compared\n" + "".join(page.MARKS) * 2)
    with pytest.raises(ValueError, match=r"^expected 1 pairs of marks, got 2: "):
        page.pages(results, tmp_path)


def figures_of_a_cluster(**times):
    """Rows whose arithmetic can be done in the head: a millisecond for each part, but for those that are said."""
    seconds = dict.fromkeys(cluster.PARTS, 0.001) | times
    return {
        "masking": part(*(row(name, at=at) for name in (masking.RATE, masking.BUILD) for at in (10, 50, 1_000, 5_000))),
        "postgres": part(*(row(name) for name in (postgres.CLAIMS, postgres.LINES, postgres.SINGLY))),
        "cluster": part(
            *(row(name) for name in (cluster.ATTEMPTS, cluster.LOCAL, cluster.FIRST, f"attempts, {postgres.EXECUTOR}")),
            *(row(f"{cluster.TIME}, {name}", value=value, unit="s") for name, value in seconds.items()),
            row(cluster.WRITES, value=3.5, unit=""),
        ),
    }


def test_what_many_machines_need_follows_from_the_figures():
    heads, *lines = scaling.arithmetic(figures_of_a_cluster(scheduler=0.002))
    assert ["", "10 machines", "100 machines", "1,000 machines"] == heads
    assert {
        "attempts/s": ["16", "160", "1,600"],
        "coordinator, cores": ["0.016", "0.16", "1.6"],
        "scheduler, cores": ["0.032", "0.32", "3.2"],
        "workers, cores": ["0.016", "0.16", "1.6"],
        "PostgreSQL, cores": ["0.016", "0.16", "1.6"],
        "transactions of attempts/s": ["56", "560", "5,600"],
        "of these, those that wait for the disk": ["32", "320", "3,200"],
        "transactions of more log lines/s, at most": ["200", "2,000", "20,000"],
        "PostgreSQL for these, cores": ["0.022", "0.22", "2.2"],
        "heartbeats and looks, statements/s": ["30", "300", "3,000"],
        "log lines/s": ["1,600", "16,000", "160,000"],
        "log rows a day, GB": ["34.6", "346", "3,456"],
        "connections at most": ["60", "600", "6,000"],
    } == {name: cells for name, *cells in lines}


def test_a_core_is_full_when_its_attempts_take_a_second():
    parts, _ = scaling.costs(figures_of_a_cluster(workers=0.004))
    assert ["workers", "4 ms", "250/s"] in parts
    assert ["all together", "7 ms", "143/s"] == parts[-1]


@pytest.mark.parametrize("name", scaling.NEEDS)
def test_without_all_figures_there_is_no_arithmetic(name):
    results = figures_of_a_cluster()
    assert scaling.is_possible(results)
    assert not scaling.is_possible({other: found for other, found in results.items() if other != name})


BURN = "import time\nwhile time.process_time() < 0.3: pass\nprint('done', flush=True)\ntime.sleep(60)"


def test_processor_time_counts_those_below():
    command = [
        sys.executable,
        "-c",
        "import subprocess, sys; subprocess.run([sys.executable, '-c', sys.argv[1]])",
        BURN,
    ]
    with subprocess.Popen(command, stdout=subprocess.PIPE, start_new_session=True) as process:
        try:
            assert process.stdout.readline() == b"done\n"
            assert 0.3 <= processor_seconds(process.pid) < 3
        finally:
            os.killpg(process.pid, signal.SIGKILL)


def test_a_process_that_is_no_more_took_no_processor_time():
    with subprocess.Popen(["true"]) as process:
        process.wait()
    assert processor_seconds(process.pid) == 0


def test_a_page_that_differs_from_the_results_is_noticed():
    results = load(PLACE.results)
    name, first = next(iter(results.items()))
    changed = replace(first, rows=(replace(first.rows[0], value=first.rows[0].value * 2), *first.rows[1:]))
    assert page.page(results) != page.page({**results, name: changed})


def test_every_benchmark_has_results_of_a_whole_run():
    results = load(PLACE.results)
    assert list(BENCHES) == list(results) == list(page.TITLES)
    assert [] == [name for name, part in results.items() if part.is_quick or not part.rows]


def test_results_name_neither_machine_nor_user_nor_path():
    for text in (PLACE.results.read_text(encoding="utf-8"), json.dumps(machine())):
        assert "/tmp" not in text
        assert "/home" not in text
        assert str(ROOT) not in text
        assert platform.node() not in text
        assert f'"{getpass.getuser()}"' not in text


@pytest.mark.parametrize("name", [page.MASKING_PLOT, page.OTHERS_PLOT, page.TARGETS_PLOT])
def test_a_picture_has_a_title_and_says_its_figures(name):
    svg = ET.fromstring((PLACE.docs / name).read_text(encoding="utf-8"))
    inside = {element.tag.rpartition("}")[2]: element for element in svg}
    assert svg.get("role") == "img"
    assert svg.get("aria-labelledby").split() == [inside["title"].get("id"), inside["desc"].get("id")]
    assert inside["title"].text
    assert len(inside["desc"].text) > 100
    assert "prefers-color-scheme: dark" in inside["style"].text
    assert not [element for element in svg.iter() if any("href" in key for key in element.attrib)]


def test_the_trouble_of_others_is_told_and_ours_is_measured(monkeypatch, tmp_path):
    monkeypatch.setattr(others, "PYTHON", tmp_path / ".venv-bench-engines" / "bin" / "python")
    found = others.measure(quick=True)
    absent = [one for one in found if isinstance(one, Absent)]
    reason = "no .venv-bench-engines, which `make bench` makes"
    assert [Absent(name="Prefect", reason=reason), Absent(name="Luigi", reason=reason)] == absent
    assert {"Autokestra"} == {one.subject for one in found if isinstance(one, Row)}


@pytest.mark.parametrize(
    ("engine", "reason"), [(others._prefect, "its server did not start"), (others._luigi, "ended with code 1")]
)
def test_others_that_end_with_an_error_could_not_run(monkeypatch, tmp_path, engine, reason):
    monkeypatch.setattr(others, "PYTHON", others.Path(sys.executable))  # has neither of them
    with pytest.raises(others.Trouble, match=f"^{reason}$"):
        engine(tmp_path, ("independent", 1))


def test_states_that_are_never_kept_are_told(monkeypatch, tmp_path):
    monkeypatch.setattr(others, "KEEP_SECONDS", 0.1)
    with closing(sqlite3.connect(tmp_path / "prefect.db")) as db:
        db.execute("CREATE TABLE task_run (state_type TEXT)")
        db.executemany("INSERT INTO task_run VALUES (?)", [("COMPLETED",), ("RUNNING",)])
        db.commit()
    others._wait_for_states(tmp_path / "prefect.db", 1)
    with pytest.raises(others.Trouble, match=r"^its database has 1 of 2 tasks as completed$"):
        others._wait_for_states(tmp_path / "prefect.db", 2)
