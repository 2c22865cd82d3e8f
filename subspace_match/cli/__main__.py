"""``python -m subspace_match.cli``: the command without its installed script."""

import sys

from . import main

if __name__ == "__main__":
    sys.exit(main())
