"""Reduction: from activations to moments and a joint factor, in one pass over the samples.

``moments`` has the entry, ``reduce``, and the result, ``PairMoments``. ``reading`` reads the
samples, ``block_sums`` adds up their products, and ``factor`` factors the sums. ``second_read``
reads the samples again if the sums have lost digits. ``centred`` subtracts means, on request.
``many`` reduces one layer of many networks to the moments of all their pairs.
``halves`` reduces two halves of the images at once, whose sums ``halved_sums`` adds up.
``streaming`` does the same for samples that arrive in pieces and cannot be read again.
"""
