"""Networks: architectures, training, and the activations of their layers."""
