"""Reduction: from activations to moments and a joint factor, in one pass over the samples."""
