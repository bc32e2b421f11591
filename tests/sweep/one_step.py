"""One step of a few students under every strategy, in a process of its own.

    python -m tests.sweep.one_step OUT DEVICES [HOST:PORT PROCESSES ID]

Leaves parameters, moments and losses in files whose names begin with OUT. Run by test_devices.py,
which compares what strategies, devices and processes change: nothing.
"""

import dataclasses
import os
import sys

STRATEGIES = ("map", "vmap", 4)


def main(out, n_devices, where=None, n_processes=1, own=0):
    os.environ["XLA_FLAGS"] += f" --xla_force_host_platform_device_count={n_devices}"
    import jax
    import numpy as np
    import optax

    if where is not None:
        jax.distributed.initialize(where, int(n_processes), int(own))

    from tests.sweep import small_sweep
    from wfm_jax import compress
    from wfm_jax.sweep import cohort as cohorts
    from wfm_jax.sweep.devices import on_host
    from wfm_jax.sweep.group import Group
    from wfm_jax.sweep.settings import SweepSettings
    from wfm_jax.train.wireless import wireless

    one_layer = dataclasses.replace(small_sweep.config(), heads=(2,), mlp_widths=(64,))
    teacher = small_sweep.teacher(one_layer)
    asked = small_sweep.TRAINING
    for strategy in STRATEGIES:
        settings = SweepSettings(batch_size=8, chunk_steps=1, strategy=strategy)
        problem = wireless(teacher, batch_size=settings.batch_size)
        group = Group("same", problem, asked, settings)
        cohort = cohorts.gather(asked, 16, group.initial, group.choices, devices=group.devices)
        copied = group.devices.copied
        students = group.train(
            cohort.students,
            cohorts.recipes(cohort),
            copied(teacher.params),
            copied(jax.random.key(3)),
            copied(np.int32(0)),
        )
        assert group.n_compiles == 1
        students = on_host(students._replace(compression=()))
        first_moments = optax.tree.get(students.optimizer, "mu").params
        if jax.process_index() == 0:
            np.savez(f"{out}-{strategy}-params.npz", **compress.flatten(students.params))
            np.savez(f"{out}-{strategy}-moments.npz", **compress.flatten(first_moments))
            np.save(f"{out}-{strategy}-loss.npy", students.loss)


if __name__ == "__main__":
    main(*sys.argv[1:])
