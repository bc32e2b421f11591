"""Models as files that a receiver can run.

``packed``: the file whose size is reported, entropy-coded and self-describing; ``from_model`` makes
one out of parameters, keep masks and grids, ``load_model`` a model out of one; ``bound`` is what
entropy allows. ``onnx_model`` and ``onnx_session``, ``stablehlo`` and ``stablehlo_loader`` and
``gguf_file`` write and read the other forms, ``forms`` all of them of one model; ``receiver`` is a
model as named arrays in and out. Import the file you need.
"""
