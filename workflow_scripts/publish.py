"""Copy results of config/config.yaml to published/, for DVC.

This is not a rule of the workflow, so it always runs: the results of the current configuration
replace all files that `dvc checkout` left in published/. Run from the project's root:

    python -m workflow_scripts.publish data     # the data sets
    python -m workflow_scripts.publish tables   # tables, metrics, figures and the page
    python -m workflow_scripts.publish stores   # their inputs: networks, activations, matches ...
"""

import shutil
import sys
from pathlib import Path

from subspace_match.experiment.origins import paths_of
from subspace_match.storage.job_records import Job, Records
from subspace_match.workflow.publishing import PUBLISHED, lineage, publish

PARTS = ("data", "tables", "stores")
KEPT = ("data", "stores", "contents.json")  # not part of "tables"


def publish_part(part: str) -> None:
    """Replace one part of the published results."""
    paths = paths_of(".")
    records = Records(paths.config["results"])
    ends = ("metrics.json", "figures/captions.json", "report.html")
    tables = [paths.experiment(name) for name in ends]
    jobs: list[tuple[Job, Path]]
    if part == "data":
        old = [PUBLISHED / "data"]
        files = [paths.data("images.safetensors", key) for key in paths.data_sets]
        jobs = [(job := records.required(file), PUBLISHED / job.record["folder"]) for file in files]
    elif part == "tables":
        old = [path for path in PUBLISHED.glob("*") if path.name not in KEPT]
        jobs = [(records.required(file), PUBLISHED) for file in tables]
    else:
        old = [PUBLISHED / "stores"]
        made_from = lineage(map(records.required, tables), paths.config["results"])
        folders = [(job, job.record["folder"]) for job in made_from]
        # Data sets are a separate part.
        jobs = [(job, old[0] / folder) for job, folder in folders if not folder.startswith("data/")]
    for path in old:
        if path.is_dir():
            shutil.rmtree(path)
        elif path.exists():
            path.unlink()
    for job, folder in jobs:
        if not publish(job, folder):
            sys.stdout.write(f"not published, because outputs are missing: {job.file}\n")


if __name__ == "__main__":
    if sys.argv[1:] not in [[part] for part in PARTS]:
        sys.exit(f"expected one of {', '.join(PARTS)}, found {' '.join(sys.argv[1:]) or 'nothing'}")
    try:
        publish_part(sys.argv[1])
    except ValueError as error:
        sys.exit(str(error))
