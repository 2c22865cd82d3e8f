"""Write what the user's own files hold to published/contents.json, for DVC.

DVC knows of no data set, weights or module that the configuration names: this tells it whether they
are what they were, wherever they lie. Run from the project's root:

    python -m workflow_scripts.contents
"""

import sys

from subspace_match.experiment.origins import paths_of
from subspace_match.storage.files import write_record
from subspace_match.workflow.publishing import PUBLISHED

FILE = PUBLISHED / "contents.json"


def write_contents() -> None:
    contents = paths_of(".").origins.contents
    # No names: a file that was moved is what it was.
    write_record(FILE, {"contents": list(contents.values())})


if __name__ == "__main__":
    try:
        write_contents()
    except ValueError as error:
        if not FILE.exists():
            sys.exit(str(error))
        sys.stdout.write(f"{error}\nGoing on with what was published of them.\n")
