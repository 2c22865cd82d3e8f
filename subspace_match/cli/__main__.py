"""``python -m subspace_match.cli``: the command without its installed script."""

from . import main

if __name__ == "__main__":
    raise SystemExit(main())
