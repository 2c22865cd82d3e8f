"""Neuron activation subspace match: NumPy arrays, torch tensors or Zarr arrays in, matches out.

Conventions of the whole package: activations have shape (samples, neurons). The two sides are X
with n_x neurons and Y with n_y neurons, over the same d samples. Column x of X is z_x, the
activation vector of neuron x. The joint matrix Z = [X Y] has n = n_x + n_y columns. Spans and
distances depend on the activations only through inner products, so ``reduction`` reads the
activations once and all later steps work on n^2 numbers. Arrays are NumPy arrays on the CPU and
torch tensors on a GPU; the mathematics is written once, against ``backends.base.Device``.
"""
