"""Figures that chance has a part in: one that misses its bound is taken once more."""

import functools


def again(test):
    """Runs a test a second time if an assertion fails, which is then what counts.

    A bound that holds but for one time in fifty fails one time in 2,500 so; a fault fails twice.
    """

    @functools.wraps(test)
    def measure(case):
        try:
            test(case)
        except AssertionError as error:
            print(f"{test.__name__}: once more, since {error}", flush=True)
            case.doCleanups()
            test(case)

    return measure
