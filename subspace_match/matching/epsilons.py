"""The default grid of epsilons. It imports nothing, because the configuration reads it too."""

EPSILONS = (0.15, 0.2, 0.25, 0.3, 0.5)  # the grid of Wang et al. 2018
