"""Training: the losses of the four tasks, the step over configurations, the teacher.

``losses`` and ``masked`` (supervised, distilled, and masked modelling), ``optimizer``, ``fit`` (a
training in compiled chunks that can be stopped), ``teacher`` (masked modelling, then the tasks),
``model_files`` (trained models on disk, and the one that comes with the package), ``distill`` (many
students, one batch and one teacher pass a step) and ``student`` (what each of them carries),
``problem`` (what they are told of a model and its data) and ``wireless`` (the problem of ours),
``learned_scales`` (what is trained of a compression state), ``hidden`` (hidden layers that match
the teacher's), ``unlabelled`` (frames that the teacher alone labels), ``interrupt`` (stops between
chunks).

Small networks to compare with: ``classifier`` (trains one), ``baselines`` (all of it in a folder).
"""
