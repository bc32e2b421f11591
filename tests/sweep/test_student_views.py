"""Students that read fewer views than their teacher: other models on the same frames."""

import chex
import jax
import numpy as np
import pytest

from tests.sweep import small_sweep
from tests.sweep.test_engine import Recorder
from wfm_jax.compress import flatten
from wfm_jax.evaluate.products import frame_products
from wfm_jax.model import build, param_shapes, reading
from wfm_jax.sweep import engine
from wfm_jax.sweep.configuration import Configuration
from wfm_jax.sweep.group import check_fit, student_of

GRID = "same:grid"


def test_frames_and_labels_are_the_teachers(problem):
    student = student_of(GRID, problem)
    draws = [jax.jit(of.batch)(jax.random.key(3)) for of in (problem, student)]
    chex.assert_trees_all_equal(*draws)
    assert student.config == reading(problem.config, ("grid",))
    assert student.batch_size == problem.batch_size


def test_the_smaller_one_too(problem):
    student = student_of("smaller:grid", problem)
    assert (student.config.views, student.config.n_layers) == (("grid",), 1)
    shapes = param_shapes(student.config)
    chex.assert_trees_all_equal_shapes_and_dtypes(student.params, shapes)


def test_it_learns_from_a_teacher_that_sees_more(problem, settings, tmp_path):
    """KD first has a gradient, for it is not its teacher; what it hands over lacks the view."""
    asked = [
        Configuration("KD", student=GRID, alpha=1.0, steps=5),
        Configuration("P-Q-KD", student=GRID, sparsity=0.5, weight_bits=4, steps=5),
    ]
    assert asked[0].stages == ("KD",)
    recorder = Recorder()
    assert engine.run_sweep(asked, problem, settings, recorder, tmp_path) == {GRID: 1}
    start = flatten(student_of(GRID, problem).params)
    for configuration in asked:
        found = recorder.weights[configuration.config_id]
        assert set(found) == set(start)
        assert any(not np.array_equal(found[path], start[path]) for path in start)


def test_fewer_views_cost_fewer_operations(problem):
    less = reading(small_sweep.config(), ("grid",))
    of = [
        sum(
            product.macs
            for product in frame_products(c, build(c, jax.random.key(0))[0], param_shapes(c))
        )
        for c in (problem.config, less)
    ]
    assert of[1] < of[0]


def test_a_problem_without_views_refuses_it(problem):
    asked = [Configuration("KD", student=GRID)]
    with pytest.raises(ValueError, match="student must be same for a problem without reading"):
        check_fit(asked, problem._replace(reading=None))


def test_a_view_that_the_teacher_does_not_read(problem):
    with pytest.raises(ValueError, match="views must be grid, and others of grid, csi, got"):
        check_fit([Configuration("KD", student="same:grid+iq")], problem)
