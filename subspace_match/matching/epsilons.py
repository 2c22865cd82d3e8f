"""The default grid of epsilons, in a module without imports: the configuration reads it too."""

EPSILONS = (0.15, 0.2, 0.25, 0.3, 0.5)  # the authors' grid
