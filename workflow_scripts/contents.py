"""Write digests of the user's own files to published/contents.json, for DVC.

DVC does not track the data sets, weights and modules that the configuration names. This file tells
DVC whether their content changed. Run from the project's root:

    python -m workflow_scripts.contents
"""

import sys

from subspace_match.experiment.origins import paths_of
from subspace_match.storage.files import write_record
from subspace_match.workflow.publishing import PUBLISHED

FILE = PUBLISHED / "contents.json"


def write_contents() -> None:
    contents = paths_of(".").origins.contents
    # Without names: moving a file does not change its content.
    write_record(FILE, {"contents": list(contents.values())})


if __name__ == "__main__":
    try:
        write_contents()
    except ValueError as error:
        if not FILE.exists():
            sys.exit(str(error))
        sys.stdout.write(f"{error}\nUsing the published digests.\n")
