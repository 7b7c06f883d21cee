"""Random streams: one place, and no two streams that share a draw."""

import itertools
from pathlib import Path

import sifting
from sifting.base.random_streams import Stream, device_key, draw_seed, generator

COUNTERS = [(), *itertools.product(range(3)), *itertools.product(range(3), repeat=2), (0, 0, 0), (1, 0, 2)]


def test_no_two_streams_have_a_draw_in_common():
    """Of one seed, and of two. 64 bits a draw: equal ones among so few cannot be chance."""
    names = [(seed, stream, counters) for seed in (0, 1) for stream in Stream for counters in COUNTERS]
    drawn = {name: set(generator(*name[:2], *name[2]).integers(0, 2**63, 50).tolist()) for name in names}
    keys = {name: {device_key(*name[:2], *name[2])} for name in names}
    every = [*drawn.values(), *keys.values()]
    assert len(set().union(*every)) == sum(map(len, every)) == 51 * len(names)
    assert all(0 <= key < 2**63 for (key,) in keys.values())


def test_all_streams_are_made_in_one_place():
    """Another SeedSequence could be that of a stream, as those of EdgeCollage32 and of clones once were."""
    package = Path(sifting.__file__).parent
    makers = [path.name for path in package.rglob("*.py") if "SeedSequence" in path.read_text()]
    assert makers == ["random_streams.py"]


def test_draws_never_change():
    """They are part of every recorded run."""
    drawn = [int(generator(3, stream, 1, 2).integers(0, 10**6)) for stream in Stream]
    assert drawn == [413266, 526704, 135129, 785847, 160456, 521300, 555738, 814364]


def test_a_seed_is_drawn_from_the_operating_system():
    assert 0 <= draw_seed() < 2**31 and draw_seed() != draw_seed()
