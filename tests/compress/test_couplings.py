import jax.numpy as jnp
import numpy as np
import pytest

from tests.compress.nets import ALL, HEADS, NEURONS, params
from wfm_jax.compress import Coupling, Part, flatten
from wfm_jax.compress.couplings import axis_masks, check_couplings


def test_good_couplings_give_their_leaves():
    flat = flatten(params())
    leaves = check_couplings(ALL, params())
    assert list(leaves) == [path for path in flat if not path.startswith("head")]
    nested = {"model": params()}
    moved = HEADS._replace(parts=tuple(p._replace(path=f"model/{p.path}") for p in HEADS.parts))
    assert check_couplings([moved], nested)["model/mix/bias"] is nested["model"]["mix"]["bias"]
    assert check_couplings([], params()) == {}


@pytest.mark.parametrize(
    "couplings, message",
    [
        ([HEADS._replace(parts=(Part("mix/w", 1, 3),))], "'heads' names mix/w, which params lack"),
        ([HEADS._replace(size=5)], r"5 x 3 entries on axis 1 of mix/kernel, which is \(6, 12\)"),
        ([HEADS._replace(parts=(Part("mix/kernel", 2, 3),))], "axis 2 of mix/kernel"),
        ([HEADS._replace(parts=(Part("mix/kernel", -1, 3),))], "axis -1 of mix/kernel"),
        ([HEADS._replace(parts=(Part("mix/kernel", 1, 0),))], "4 x 0 entries"),
        ([HEADS, NEURONS, HEADS], "two couplings have the name 'heads'"),
        ([HEADS, HEADS._replace(name="again")], "axis 1 of mix/kernel.*both 'heads' and 'again'"),
        ([HEADS._replace(parts=HEADS.parts[:1] * 2)], "'heads' claims an axis twice"),
        ([HEADS._replace(parts=HEADS.parts[1:2])], "'heads' has no kernel"),
        ([HEADS._replace(parts=())], "'heads' has no kernel"),
        ([HEADS._replace(least=5)], "'heads' of size 4 cannot keep at least 5"),
        ([HEADS._replace(size=0, parts=())], "'heads' of size 0"),
    ],
)
def test_bad_couplings_are_named_in_one_line(couplings, message):
    with pytest.raises(ValueError, match=message) as error:
        check_couplings(couplings, params())
    assert "\n" not in str(error.value)


def test_one_array_may_shrink_on_both_axes():
    chained = {"a": {"kernel": jnp.ones((2, 3))}, "b": {"kernel": jnp.ones((3, 4))}}
    first = Coupling("first", 3, (Part("a/kernel", 1, 1), Part("b/kernel", 0, 1)))
    second = Coupling("second", 2, (Part("b/kernel", 1, 2),))
    assert set(check_couplings([first, second], chained)) == {"a/kernel", "b/kernel"}


@pytest.mark.parametrize("array", [np.array, jnp.array])
def test_masks_of_units_spread_to_their_blocks_and_meet_where_couplings_lie_over_each_other(array):
    units = {
        "heads": array([True, False, True, True]),
        "neurons": array([True] * 9 + [False]),
        "mix": array([True]),
        "mlp": array([False]),
    }
    axes = axis_masks(units, ALL)
    blocks = np.repeat([True, False, True, True], 3)
    for path, axis in (("mix/kernel", 1), ("mix/bias", 0), ("out/kernel", 0)):
        np.testing.assert_array_equal(axes[path][axis], blocks)
    assert axes["out/bias"][0].all()
    assert not axes["up/kernel"][1].any()
    assert not axes["down/bias"][0].any()
    assert "head/kernel" not in axes
