"""What a model is worth and what it costs, measured on frozen test frames.

``frames`` (the test set), ``scores`` (per frame), ``metrics``, ``intervals``, ``retention``,
``snr_loss``, ``quality`` (columns of a row), ``cost`` and ``products`` (parameters, operations,
bytes), ``classical`` (reference receivers), ``many`` (configurations by one program), ``curves``.

Error-rate curves of classical receivers, without a model: ``ber`` (all of it), ``ber_study`` (what
is asked, when a point is done), ``ber_point``, ``detection`` (the jitted step), ``estimators``,
``frame_sums`` (intervals), ``genie_theory`` (closed forms of a scenario), ``ber_files``.
"""
