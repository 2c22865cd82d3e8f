"""Peeling: remove the farthest neuron again and again. The core of the match path."""
