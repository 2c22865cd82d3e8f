"""Files on disk: whole or absent, with checksums; activations, matches and users' arrays."""
