"""What an experiment computes: configuration, networks and pairs, and where each result lies."""
