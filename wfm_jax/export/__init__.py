"""Models as files that a receiver can run.

``packed``: the file whose size is reported, bit-packed and self-describing; ``from_model`` makes
one out of parameters, keep masks and grids. Import the file you need.
"""
