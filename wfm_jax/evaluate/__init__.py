"""What a model is worth and what it costs, measured on frozen test frames.

``frames`` (the test set), ``scores`` (per frame), ``metrics``, ``intervals``, ``retention``,
``snr_loss``, ``quality`` (columns of a row), ``cost`` and ``products`` (parameters, operations,
bytes), ``classical`` (reference receivers), ``many`` (configurations by one program), ``curves``.

A model beside classical receivers, over SNR and K: ``model_study`` (measures), ``model_rows``,
``evaluation_files`` (all of it in a folder); ``over_snr`` (metrics of any frames), ``behind`` (dB
of SNR to a reference), ``calibration`` (of LLRs), ``confusion``, ``estimation_bound``,
``link_state`` (labels, the best constant answers). ``accuracy``: blind classifiers of every kind.

Where a receiver has to be robust: ``conditions`` (what is changed), ``condition_study`` (measures),
``condition_rows`` (losses, each beside LMMSE's), ``subsample_timing``; without some views:
``view_information`` (what each tells, by argument), ``view_removal`` (measures), ``view_rows``
(retention); ``robustness_files`` (both in a folder).

A model on a SigMF recording: ``recording_segments`` (cuts it), ``recording_answers`` (programs),
``recording_scores`` (against labels), ``recording_study`` (all of it), ``recording_files`` (in a
folder); ``frame_recording`` makes recordings with exact labels.

Which tensor suffers from what: ``sensitivity`` (one program for all of them), ``sensitivity_study``
(rows; mixed precision under a budget of bytes, tested on other frames), ``sensitivity_files``.

Failure modes: ``sensitive_tensors`` (naive bits on chosen tensors), ``wrong_calibration`` (frames
of other distributions, and what is calibrated on them) and ``wrong_calibration_study`` (rows),
``failure_files``; the third, of students, is ``wfm_jax.sweep.student_size``.

Error-rate curves of classical receivers, without a model: ``ber`` (all of it), ``ber_study`` (what
is asked, when a point is done), ``ber_point``, ``detection`` (the jitted step), ``estimators``,
``frame_sums`` (intervals), ``genie_theory`` (closed forms of a scenario), ``ber_files``.
"""
