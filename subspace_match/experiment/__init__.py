"""Configuration, networks, pairs, and the plan of an experiment: what it computes, and where."""
