"""Bring what is in published/ to where the workflow made it: after `dvc pull` on another machine.

What is there already stays, and what other code than the present has made is left out. Run from the
project's root:

    python -m workflow_scripts.restore
"""

import sys

from subspace_match.experiment.origins import config_of
from subspace_match.workflow.publishing import PUBLISHED, restore


def restore_all() -> None:
    restored = restore(PUBLISHED, config_of(".")["results"])
    for name, reason in restored.left_out.items():
        sys.stdout.write(f"left out {name}: {reason}\n")
    sys.stdout.write(f"restored what {len(restored.back)} jobs had made")
    sys.stdout.write(f"; what {len(restored.there)} had made was there already\n")


if __name__ == "__main__":
    try:
        restore_all()
    except ValueError as error:
        sys.exit(str(error))
