"""The time left of work whose kinds have paces of their own."""

import pytest

from wfm_jax.results.forecast import Forecast, in_words


class Clock:
    def __init__(self):
        self.now = 0.0

    def __call__(self):
        return self.now


@pytest.fixture
def clock():
    return Clock()


@pytest.fixture
def forecast(clock):
    return Forecast(clock)


def work(forecast, clock, kind, units, seconds):
    with forecast.doing(kind, units):
        clock.now += seconds


def test_each_kind_keeps_its_pace(forecast, clock):
    forecast.expect("train", 100)
    forecast.expect("measure", 10)
    work(forecast, clock, "train", 20, 40.0)
    assert forecast.left_s is None  # nothing was measured yet
    assert forecast.share == pytest.approx(40 / (2 * 200))
    work(forecast, clock, "measure", 1, 5.0)
    assert forecast.left_s == pytest.approx(80 * 2.0 + 9 * 5.0)
    assert forecast.share == pytest.approx(45 / (45 + 205))


def test_a_pace_is_supposed_until_one_is_shown(forecast, clock):
    forecast.suppose("measure", 3.0)
    forecast.expect("measure", 10)
    assert forecast.left_s == pytest.approx(30.0)
    assert forecast.share == 0.0
    work(forecast, clock, "measure", 1, 5.0)
    assert forecast.left_s == pytest.approx(9 * 5.0)


def test_constant_paces_are_foretold_exactly_at_every_moment(forecast, clock):
    forecast.expect("train", 50)
    forecast.expect("measure", 5)
    total = 50 * 3.0 + 5 * 7.0
    for _ in range(5):
        work(forecast, clock, "train", 10, 30.0)
        work(forecast, clock, "measure", 1, 7.0)
        assert forecast.left_s == pytest.approx(total - clock.now)
    assert forecast.left_s == 0.0
    assert forecast.share == 1.0


def test_what_is_between_the_blocks_goes_on_as_it_did(forecast, clock):
    """A block of 4 s, then 1 s of something else, ten times."""
    forecast.expect("train", 10)
    for i in range(10):
        work(forecast, clock, "train", 1, 4.0)
        clock.now += 1.0
        assert forecast.left_s == pytest.approx((9 - i) * 5.0)


def test_what_will_not_be_done_is_not_waited_for(forecast, clock):
    forecast.expect("train", 100)
    work(forecast, clock, "train", 10, 10.0)
    forecast.expect("train", -60)
    assert forecast.left_s == pytest.approx(30.0)
    forecast.expect("train", -1000)
    assert forecast.left_s == 0.0


def test_nothing_is_known_at_the_start(forecast):
    forecast.expect("train", 3)
    assert forecast.left_s is None
    assert forecast.share == 0.0


@pytest.mark.parametrize(
    ("seconds", "words"),
    [
        (None, ""),
        (0.2, "about 1 s left"),
        (80, "about 80 s left"),
        (600, "about 10 min left"),
        (9000, "about 2.5 h left"),
    ],
)
def test_in_words(seconds, words):
    assert in_words(seconds) == words
