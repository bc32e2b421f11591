"""A link goes to JSON and comes back as it was; what is no link is refused."""

import json

import pytest

from tests import small
from wfm_jax.signal import link_fields
from wfm_jax.signal.link import LinkConfig
from wfm_jax.signal.scenarios import SCENARIOS


@pytest.mark.parametrize(
    "link", [LinkConfig(), small.LINK, small.NR_LIKE, LinkConfig(scenario=SCENARIOS["rayleigh"])]
)
def test_there_and_back(link):
    assert link_fields.from_dict(json.loads(json.dumps(link_fields.to_dict(link)))) == link


@pytest.mark.parametrize(
    "change, message",
    [
        ({"n_pilots": 3}, "not a link of this version"),
        ({"scenario": None}, "not a scenario of this version"),
        ({"n_symbols": 0}, "n_symbols must be positive"),
        ({"n_symbols": "8"}, "not a link of this version"),
    ],
)
def test_what_is_no_link_is_refused(change, message):
    with pytest.raises(ValueError, match=message):
        link_fields.from_dict(link_fields.to_dict(LinkConfig()) | change)


def test_fields_that_are_none_are_refused():
    for fields in ([], None, "link", {}):
        with pytest.raises(ValueError, match="not a link of this version"):
            link_fields.from_dict(fields)
