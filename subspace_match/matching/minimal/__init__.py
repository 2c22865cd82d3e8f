"""Minimal matches: the smallest match that contains a neuron."""
