"""Remove the farthest neuron, again and again: the core of the match path."""
