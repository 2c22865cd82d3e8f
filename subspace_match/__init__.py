"""Do two neural networks learn the same representation, and neuron by neuron, where?

Neuron activation subspace match (Wang et al., NeurIPS 2018, arXiv 1810.11750). ``__init__.pyi``
lists the public names and their modules; each is imported on first use.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
