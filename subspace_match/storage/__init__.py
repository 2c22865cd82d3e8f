"""Files that are complete or absent, with checksums: activations, matches, users' arrays."""
