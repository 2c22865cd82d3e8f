"""The mathematics of neuron activation subspace match: arrays in, matches out.

Conventions of the whole package, stated once: activations are (samples, neurons); the two sides
are X, of n_x neurons, and Y, of n_y neurons, over the same d samples; column x of X is neuron x's
activation vector z_x; the joint matrix Z = [X Y] has n = n_x + n_y columns. Spans and distances
depend on the activations only through inner products, so ``moments`` reads them once and all
that follows reads only n^2 numbers. Arrays are NumPy's on the CPU and torch's on a GPU, and what
is done with them is written once, over ``on_device``.
"""
