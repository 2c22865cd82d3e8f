"""Lines that say how far long work is."""

from __future__ import annotations

import logging
import sys

import pytest

from subspace_match import progress
from subspace_match.progress import Progress


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """Replace the clock; its only entry is the time in seconds."""
    now = [100.0]
    monkeypatch.setattr(progress.time, "monotonic", lambda: now[0])
    return now


def test_a_terminal_has_one_line_from_the_start(
    clock: list[float], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True)
    with Progress("layers", 4) as work:
        for seconds in (10, 0.01, 10):
            clock[0] += seconds
            work.update()
    shown = capsys.readouterr().err.split("\r\033[K")
    # The second update comes too early to be shown.
    assert shown == [
        "",
        "layers: 0/4",
        "layers: 1/4, about 0:30 left",
        "layers: 3/4, about 0:06 left",
        "",
    ]


def test_a_program_may_have_no_standard_error(
    clock: list[float], monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(sys, "stderr", None)
    caplog.set_level(logging.INFO)
    with Progress("layers", 2) as work:
        clock[0] += 10
        work.update()
    assert caplog.messages == ["layers: 1/2, about 0:10 left"]


def test_elsewhere_the_log_has_a_line_every_ten_seconds(
    clock: list[float], caplog: pytest.LogCaptureFixture, capsys: pytest.CaptureFixture[str]
) -> None:
    caplog.set_level(logging.INFO)
    with Progress("inputs", None) as work:
        for _ in range(25):
            clock[0] += 1
            work.update(3)
    assert caplog.messages == ["inputs: 30", "inputs: 60"]
    assert capsys.readouterr().err == ""


def test_the_time_left_is_that_of_the_work_and_not_of_the_count(
    clock: list[float], caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    with Progress("layers", 2, work=100) as work:
        clock[0] += 10
        work.update(0, 5)  # a part of the first
        clock[0] += 10
        work.update(1, 5)
    assert caplog.messages == ["layers: 0/2, about 3:10 left", "layers: 1/2, about 3:00 left"]


def test_more_than_the_total_has_no_total_and_no_time_left(
    clock: list[float], caplog: pytest.LogCaptureFixture
) -> None:
    """As when samples are read a second time."""
    caplog.set_level(logging.INFO)
    with Progress("samples", 100) as work:
        for _ in range(3):
            clock[0] += 10
            work.update(50)
    assert caplog.messages == [
        "samples: 50/100, about 0:10 left",
        "samples: 100/100, about 0:00 left",
        "samples: 150",
    ]
