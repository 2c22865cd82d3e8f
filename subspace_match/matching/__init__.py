"""The mathematics of neuron activation subspace match, from arrays of activations to matches.

Conventions of all modules: activations have shape (samples, neurons). The two sides are X with n_x
neurons and Y with n_y neurons, over the same d samples. Column x of X is z_x, the activation vector
of neuron x. The joint matrix Z = [X Y] has n = n_x + n_y columns. A neuron is dead if all of its
activations are 0, and live otherwise. The relative distance of a neuron v from the span of a set S
of neurons is r(v | S) = dist(z_v, span z_S) / |z_v|. Prime (') means transposed.

Spans and distances depend on the activations only through inner products. So the samples are read
once, and all later steps work on n^2 numbers. Each step imports only from those above it:

- ``backends``: arrays and linear algebra, NumPy on the CPU and torch on a GPU.
- ``reduction``: read the samples and reduce them to moments Z'Z and a factor F with the same spans.
- ``peeling``: remove the farthest neuron again and again, and record its distance.
- ``certificate``: prove a maximum match independently of peeling.
- ``path``: compute the maximum matches of all epsilons from the distances of the removals.
- ``cross_fitted``: compute paths by distances that are fitted and measured on different images.
- ``minimal``: find for each neuron a match that contains it and cannot be made smaller.
- ``consensus``: compute what many networks match with each other in all pairs.
- ``layer_pairs``: compare all layers of two networks.
- ``null``: compute paths under permuted samples, to compare a match with chance.
- ``permutation_test``: p-values, thresholds and their correction for several layers.
- ``half_samples``: compute paths of halves of the samples, for intervals over images.
- ``measures``: compute CKA, CCA and other measures from the same moments.

``validation`` checks arguments and ``ties`` decides about distances that equal epsilon.
``resampled`` reads a pair's layers again in another order, for ``null`` and ``half_samples``.
``content`` compares results, ``curve`` draws a similarity curve, and ``device_names`` says which
devices there are.
"""
