"""The page of a run with several comparisons, in a real browser."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

import pytest
from playwright.sync_api import Locator
from report.conftest import Opened
from report.folders import LAYERS, Made, experiment

STAGES = {"stages": ["initial", "last"]}


@pytest.fixture(scope="session")
def two(tmp_path_factory: pytest.TempPathFactory) -> Made:
    """Write the folder of a run that compares three seeds at two stages."""
    return experiment(tmp_path_factory.mktemp("two"), seeds=(0, 1, 2), settings=STAGES)


@pytest.fixture(scope="session")
def file_of_two(two: Made, written: Callable[..., Path]) -> Path:
    """Write the page of ``two``."""
    return written(two)


@pytest.fixture
def opened(opening: Callable[..., Opened], file_of_two: Path) -> Opened:
    """Open the page of ``two``."""
    return opening(file_of_two)


def heights(figure: Locator, layer: int) -> dict[str, tuple[list[float], list[float]]]:
    """Return the upper and the lower ends of a layer of bands, as shares, by comparison."""
    frame = figure.locator(".background").first
    height = frame.evaluate("frame => frame.getBBox().height")
    found = {}
    for band in figure.locator(f".mark-area.layer_{layer}_marks path").all():
        points = re.findall(r"[\d.]+,([\d.]+)", band.get_attribute("d") or "")
        ends = [1 - float(y) / height for y in points]
        comparison = (band.get_attribute("aria-label") or "").rpartition(": ")[2]
        found[comparison] = ends[: len(LAYERS)], ends[len(LAYERS) :]
    return found


def test_bands_of_several_comparisons_begin_at_zero_and_end_at_their_levels(
    opened: Opened,
) -> None:
    opened.go(epsilon=0.98)
    rows = opened.table("#depth-numbers")
    figures = opened.page.locator("#depth .chart").all()
    for figure, prefix in zip(figures, ("", "area_"), strict=True):
        figure.scroll_into_view_if_needed()
        figure.locator("svg").wait_for()
        for layer, level in enumerate(("chance", "labels")):
            bands = heights(figure, layer)
            assert set(bands) == {"initial", "last"}
            for comparison, (upper, lower) in bands.items():
                own = [float(r[prefix + level]) for r in rows if r["comparison"] == comparison]
                assert max(own) > 0
                assert upper == pytest.approx(own, abs=1e-4), (prefix + level, comparison)
                assert lower == pytest.approx([0] * len(LAYERS), abs=1e-4)
