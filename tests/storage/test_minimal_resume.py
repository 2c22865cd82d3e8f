"""A killed job of minimal matches goes on, and finds what an uninterrupted one finds."""

import logging
import os
import signal
from pathlib import Path

import numpy as np
import pytest

import subspace_match as sm
from subspace_match.matching.minimal.partial import PartialMatches
from subspace_match.storage import minimal_resume
from subspace_match.storage.minimal_resume import MinimalResume


@pytest.fixture(scope="module")
def path() -> sm.MatchPath:
    rng = np.random.default_rng(0)
    hidden = rng.normal(size=(80, 6))
    x, y = (hidden @ rng.normal(size=(6, 18)) + rng.normal(size=(80, 18)) / 8 for _ in range(2))
    return sm.match_path(sm.reduce(x, y, device="cpu"), device="cpu")


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "minimal.resume.npz"


def search(path: sm.MatchPath, resume: MinimalResume, progress=lambda _: None):
    partial = resume.search("fc1", len(path.critical_epsilon))
    return sm.minimal_matches(path, 0.5, partial=partial, progress=progress, threads=1)


def test_a_killed_job_goes_on_and_finds_the_same(path, file, monkeypatch) -> None:
    expected = sm.minimal_matches(path, 0.5)
    assert len(expected.distinct) > 5
    monkeypatch.setattr(minimal_resume, "INTERVAL", 0.0)

    def work() -> None:
        with MinimalResume(file, "inputs") as resume:
            calls = []

            def progress(neurons: int) -> None:
                resume.write_if_due()
                calls.append(neurons)
                if len(calls) == 3:
                    os.kill(os.getpid(), signal.SIGKILL)

            search(path, resume, progress)

    child = os.fork()
    if not child:
        work()
        os._exit(1)
    assert os.WTERMSIG(os.waitpid(child, 0)[1]) == signal.SIGKILL
    counts: list[int] = []
    with MinimalResume(file, "inputs") as resume:
        done = resume.search("fc1", 36).count
        found = search(path, resume, counts.append)
    assert done >= 3
    assert done + sum(counts) == len(expected)
    np.testing.assert_array_equal(found.distinct, expected.distinct)
    np.testing.assert_array_equal(found.match_of, expected.match_of)
    assert file.exists()  # until the job has its record
    resume.remove()
    assert not file.exists()


def test_an_exception_loses_nothing(path, file) -> None:
    """Such as the one by which a signal ends a job."""

    def stop(_: int) -> None:
        raise SystemExit(143)

    with pytest.raises(SystemExit), MinimalResume(file, "inputs") as resume:
        search(path, resume, stop)
    assert MinimalResume(file, "inputs").search("fc1", 36).count > 0


@pytest.mark.parametrize("reason", ["made from other inputs", "found a damaged one"])
def test_a_file_that_does_not_fit_is_not_used(path, file, reason, caplog) -> None:
    resume = MinimalResume(file, "inputs")
    search(path, resume)
    resume.__exit__(ZeroDivisionError)
    if "damaged" in reason:
        file.write_bytes(file.read_bytes()[:-50])
    with caplog.at_level(logging.WARNING):
        resume = MinimalResume(file, "inputs" if "damaged" in reason else "others")
    assert f"{reason}" in caplog.text
    assert "beginning anew" in caplog.text
    assert resume.search("fc1", 36).count == 0


def test_every_layer_of_a_job_goes_on(file) -> None:
    resume = MinimalResume(file, "inputs")
    for place in range(12):
        partial: PartialMatches = resume.search(f"fc/{place}", 20)
        partial.add(np.array([place]), np.array([place, 19]))
    resume.__exit__(ZeroDivisionError)
    resume = MinimalResume(file, "inputs")
    for place in range(12):
        found = resume.search(f"fc/{place}", 20).matches(10)
        assert list(found) == [("x", place) if place < 10 else ("y", place - 10)]
        assert found.sizes.max() == 2
