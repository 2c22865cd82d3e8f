"""Two models in one call: from models and a loader to matches, tables, figures and a page.

``run`` has the entry, ``compare``, and ``result`` what it returns. ``batches`` reads the loader,
``labels`` takes the labels out of its batches, ``layers`` decides which layers are compared, and
``places`` where they are sampled. Everything else is the pipeline's: ``tables`` calls the functions
that build its tables, and ``saving`` those that make its page and files.
"""
