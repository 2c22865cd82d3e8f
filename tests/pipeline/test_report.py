"""A run ends with its page, and Snakemake's own report shows it."""

import re
import zipfile
from pathlib import Path

from pipeline.workspaces import Workspace
from report.folders import page_data


def test_a_run_ends_with_its_page_and_says_where_it_is(finished: Workspace) -> None:
    page = Path(finished.paths.experiment("report.html"))
    said = re.findall(r"^Page: +(\S+)", (finished.root / "complete").read_text(), re.MULTILINE)
    assert finished.root / said[0] == page
    (run,) = page_data(page.read_text())
    assert "conv5" in [layer["layer"] for layer in run["layers"]]


def test_made_again_it_is_the_same_bytes(workspace: Workspace) -> None:
    page = Path(workspace.paths.experiment("report.html"))
    before = page.read_bytes()
    assert workspace.snakemake("--forcerun", "report").jobs == {"report": 1}
    assert page.read_bytes() == before


def test_the_command_that_it_names_makes_the_same_experiment(workspace: Workspace) -> None:
    (run,) = page_data(Path(workspace.paths.experiment("report.html")).read_text())
    command = run["provenance"]["again"].removeprefix("snakemake ")
    assert command.startswith("--configfile results/experiments/")
    (workspace.root / "config" / "config.yaml").write_text("seeds: [8, 9]\n")
    assert "Nothing to be done" in workspace.snakemake(*command.split()).text


def test_snakemake_s_report_has_figures_captions_and_the_page(workspace: Workspace) -> None:
    workspace.snakemake("--report", "report.zip")
    with zipfile.ZipFile(workspace.root / "report.zip") as archive:
        names = archive.namelist()
        text = archive.read("report/report.html").decode()
        (page,) = (name for name in names if re.fullmatch("report/data/raw/.*/report.html", name))
        made = Path(workspace.paths.experiment("report.html"))
        assert archive.read(page) == made.read_bytes()
    assert len([name for name in names if name.endswith("heat_map.svg")]) == 1
    for words in ("Figures", "Report", "similarity by depth", "Every layer of network A against"):
        assert words in text
    workspace.snakemake("--report", "report.html")
    assert (workspace.root / "report.html").stat().st_size > 100_000
