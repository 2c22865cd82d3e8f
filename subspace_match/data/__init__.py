"""Data sets: which there are, how their files are read, and the one form they are brought into."""
