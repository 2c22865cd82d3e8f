"""Minimal matches: for each neuron, a match that contains it and cannot be made smaller.

``search`` has the entries. It tests removals in an order from ``order``; ``walk`` tests them for
many neurons at once, with the loops in ``compiled``. ``exact`` finds the minimum matches at
epsilon 0 without a search. ``result`` holds what both return.
"""
