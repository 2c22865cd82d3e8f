"""Data sets: the catalogue, the readers of their files, and the prepared form that networks use."""
