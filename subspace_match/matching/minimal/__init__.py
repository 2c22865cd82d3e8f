"""Minimal matches: for each neuron, a match that contains it and cannot be made smaller."""
