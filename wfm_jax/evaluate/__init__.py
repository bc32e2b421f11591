"""What a model is worth and what it costs, measured on frozen test frames.

``frames`` (the test set), ``scores`` (per frame), ``metrics``, ``intervals``, ``retention``,
``snr_loss``, ``quality`` (columns of a row), ``cost`` and ``products`` (parameters, operations,
bytes), ``classical`` (reference receivers), ``many`` (configurations by one program), ``curves``.
"""
