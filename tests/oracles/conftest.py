"""Two threads for PyTorch: as many as the tests' machines have cores, and JAX has its own."""

import contextlib

with contextlib.suppress(ModuleNotFoundError):  # the tests then skip, and say what is missing
    import torch

    torch.set_num_threads(2)
