"""Copy published/ back to the folder of results, after `dvc pull` on another machine.

Existing files stay. Results of code other than the present code are skipped. Run from the project's
root:

    python -m workflow_scripts.restore
"""

import sys

from subspace_match.experiment.origins import config_of
from subspace_match.workflow.publishing import PUBLISHED, restore


def restore_all() -> None:
    outcome = restore(PUBLISHED, config_of(".")["results"])
    for name, reason in outcome.skipped.items():
        sys.stdout.write(f"skipped {name}: {reason}\n")
    restored, present = len(outcome.restored), len(outcome.present)
    sys.stdout.write(f"restored the outputs of {restored} jobs; those of {present} jobs existed\n")


if __name__ == "__main__":
    try:
        restore_all()
    except ValueError as error:
        sys.exit(str(error))
