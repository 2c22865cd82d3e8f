"""Two models in one call: from models and a loader to matches, tables, figures and a page.

``run`` has the entry, ``compare``, and ``result`` what it returns. ``batches`` reads the loader,
``layers`` decides which layers are compared, ``places`` where they are sampled. Everything else is
the pipeline's: ``tables`` calls the functions that build its tables, and ``page`` those that make
its page.
"""
