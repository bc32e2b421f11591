"""Training: the losses of the four tasks, the step over configurations, the teacher.

``losses``, ``optimizer``, ``distill`` (many students, one batch and one teacher pass a step),
``teacher`` (pretraining and strict checkpoints), ``interrupt`` (stops between chunks).
"""
