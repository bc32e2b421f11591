"""The engine that composes all rooms: many compression configurations in one compiled program.

``pipeline``, ``configuration``, ``allowed``, ``space`` (what is asked), ``compression`` and
``stages`` (P, Q),
``cohort`` (configurations side by side), ``group`` (one training program), ``engine`` (nothing
lost), ``examiner`` and ``measure`` (rows), ``contrasts`` and ``yardstick`` (what is compared),
``study`` (from flags to read-out); ``student_size`` (distillation less fine-tuning, by size).

Anybody's model: ``own_model`` (the sweep), ``sound`` and ``support`` (what is refused),
``examples`` (its rows), ``own`` (scores and formats that are not ours).
"""
