"""What benchmarks of the thread list compute."""

from __future__ import annotations

import pytest

from benchmarks.pages import exponent, sizes


@pytest.mark.parametrize(
    ("times", "slope"),
    [
        ({10**4: 5.0, 10**5: 5.0, 10**6: 5.0}, 0),
        ({10**4: 2.0, 10**6: 200.0}, 1),
        ({10: 3.0, 100: 300.0, 1_000: 30_000.0}, 2),
    ],
)
def test_the_exponent_tells_how_time_grows_with_size(times: dict[int, float], slope: float) -> None:
    assert exponent(times) == pytest.approx(slope)


@pytest.mark.parametrize(
    ("largest", "expected"),
    [
        (10_000, [10_000]),
        (20_000, [10_000, 20_000]),
        (1_000_000, [10_000, 100_000, 1_000_000]),
        (2_000_000, [10_000, 100_000, 1_000_000, 2_000_000]),
        (4_000, [4_000]),
    ],
)
def test_histories_grow_by_powers_of_ten_to_the_largest(largest: int, expected: list[int]) -> None:
    assert sizes(largest) == expected
