"""Copy the tables, metrics and figures of config/config.yaml to published/, for DVC.

It is not a rule, so that it cannot be skipped: whatever `dvc checkout` left in published/ is
replaced by the results of the configuration as it stands. Run from the project's root:

    python -m workflow_scripts.publish
"""

import shutil
from pathlib import Path

import yaml

from subspace_match.config import validated
from subspace_match.layout import Layout

PUBLISHED = Path("published")
FILES = ("config.yaml", "schema.yaml")


def publish() -> None:
    """Replace published/ by the current experiment's results."""
    config, schema = (yaml.safe_load(Path("config", name).read_text()) for name in FILES)
    experiment = Path(Layout(validated(config, schema)).experiment(""))
    if PUBLISHED.exists():
        shutil.rmtree(PUBLISHED)
    shutil.copytree(experiment, PUBLISHED)


if __name__ == "__main__":
    publish()
