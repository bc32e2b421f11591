"""What a run leaves behind, and what is read from it.

``rows`` (one JSON line per finished configuration), ``manifest`` (which run a folder holds),
``checkpoint`` (strict, kill-safe), ``tables``, ``plots`` and ``verdict`` (rows as a table, a
picture and a paragraph). Import the file you need; the first three work with the core
dependencies alone, the others want the extra ``cli``.
"""
