"""The largest chunk that fits, and the fastest program, by compilers that are made up."""

import itertools

import pytest

from wfm_jax.sweep import fitting
from wfm_jax.sweep.fitting import Fitted

GIB = 2**30


class Analysis:
    def __init__(self, arguments, temporaries):
        self.argument_size_in_bytes, self.temp_size_in_bytes = arguments, temporaries


class Compiler:
    """Programs of so many bytes of arguments, and of temporaries by how many run at a time."""

    def __init__(self, arguments, temporaries, refuses_above=10**9):
        self.arguments, self.temporaries, self.tried = arguments, temporaries, []
        self.refuses_above = refuses_above

    def __call__(self, at_a_time):
        self.tried.append(at_a_time)
        if at_a_time > self.refuses_above:
            raise RuntimeError("RESOURCE_EXHAUSTED")
        analysis = Analysis(self.arguments, self.temporaries(at_a_time))
        return type("Compiled", (), {"memory_analysis": lambda _: analysis})()


def test_everything_at_once_where_it_fits():
    compiler = Compiler(GIB, lambda n: n * GIB // 100)
    assert fitting.largest_that_fits(compiler, 64, 80 * GIB).strategy == 64
    assert compiler.tried == [8, 64]


@pytest.mark.parametrize("each", [0.3, 0.6, 1.1, 2.9])
def test_the_largest_divisor_that_fits(each):
    """Linear memory: brute force over all divisors agrees, with two compiles."""
    compiler = Compiler(2 * GIB, lambda n: int(n * each * GIB))
    allowed = fitting.SHARE * 80 * GIB
    fits = [n for n in range(8, 97) if 96 % n == 0 and (2 + n * each) * GIB <= allowed]
    assert fitting.largest_that_fits(compiler, 96, 80 * GIB).strategy == max(fits)
    assert len(compiler.tried) <= 2


def test_more_than_linear_memory_is_found_out_and_halved():
    compiler = Compiler(GIB, lambda n: n * n * GIB // 40)
    found = fitting.largest_that_fits(compiler, 128, 80 * GIB)
    assert found.strategy == 32
    assert fitting.memory_of(found.compiled).total <= 72 * GIB


def test_what_the_compiler_refuses_is_halved():
    compiler = Compiler(GIB, lambda n: 1000 * n, refuses_above=20)
    assert fitting.largest_that_fits(compiler, 64, 80 * GIB).strategy == 16


def test_few_are_the_least_and_too_large_is_one_line():
    assert fitting.largest_that_fits(Compiler(1, lambda n: n), 4, GIB).strategy == 4
    with pytest.raises(ValueError, match=r"8 at a time, need .* lower --max_width"):
        fitting.largest_that_fits(Compiler(GIB, lambda n: n * GIB), 64, 2 * GIB)


@pytest.mark.parametrize(("other", "wins"), [(0.95, False), (0.89, True), (2.0, False)])
def test_another_program_has_to_win_by_a_tenth(other, wins):
    usual, slow, new = Fitted("usual", "map"), Fitted("slow", 2), Fitted("new", 8)
    noise = itertools.cycle([1.0, 1.02, 0.99])

    def seconds(compiled):
        return {"usual": 1.0, "slow": 3.0, "new": other}[compiled] * next(noise)

    assert fitting.fastest(usual, [slow, new], seconds) is (new if wins else usual)


def test_a_program_without_room_is_one_line():
    program = Compiler(GIB, lambda n: 3 * GIB)(1)
    fitting.check_fits(program, 8, 1, limit_bytes=5 * GIB)
    with pytest.raises(ValueError, match=r"8 configurations, 1 at a time, need 4.0 GiB of 3.6 GiB"):
        fitting.check_fits(program, 8, 1, limit_bytes=4 * GIB)
