"""What jobs compute from stored activations, and the tables of all their results."""
