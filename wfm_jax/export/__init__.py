"""Models as files that a receiver can run.

``packed``: the file whose size is reported, entropy-coded and self-describing; ``from_model`` makes
one out of parameters, keep masks and grids, ``load_model`` a model out of one; ``bound`` is what
entropy allows. Import the file you need.
"""
