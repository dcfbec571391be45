#!/usr/bin/env bash
# StatsForecast's conformal 95 % interval covers 65 % with the default number of windows
#
# Versions   statsforecast 2.1.1, pandas 2.3.3, from PyPI
# Guess      Conformal intervals are the ones with a guarantee: on exchangeable data they cover at
#            least what they promise, at worst by being infinitely wide. Two calibration windows
#            cannot support 95 % (that takes 19), so the library widens, warns or refuses.
# Behaviour  It returns an interval without a word. The calibration errors are interpolated between
#            the few that there are, without the finite-sample correction, so that no level, 99 %
#            included, reaches beyond the larger of two errors: coverage stays near 2/3. Ten
#            windows reach 90 % where 99 % is asked for.
# Seen       Gaussian noise around a constant, 400 series, the mean as the model, 5 steps ahead:
#            windows   asked 80 %   asked 95 %   asked 99 %
#            2 (default)    0.604        0.651        0.664
#            10             0.744        0.887        0.905
#
# Exit status: 0 as described, 1 the behaviour has changed, 2 it could not be tried.
set -euo pipefail

python3 -c 'import ensurepip, venv' 2>/dev/null || { echo "missing: python3 with venv (Debian: python3-venv)" >&2; exit 2; }
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/python"
timeout 400 "$work/python/bin/pip" install --quiet --disable-pip-version-check \
    statsforecast==2.1.1 pandas==2.3.3 || { echo "could not install the packages" >&2; exit 2; }

timeout 180 "$work/python/bin/python" -W ignore - <<'PYTHON'
import sys

import numpy as np
import pandas as pd
from statsforecast import StatsForecast
from statsforecast.models import HistoricAverage
from statsforecast.utils import ConformalIntervals

SERIES, LENGTH, HORIZON = 400, 60, 5
LEVELS = [80, 95, 99]

values = np.random.default_rng(0).normal(100, 10, SERIES * LENGTH)
data = pd.DataFrame({
    "unique_id": np.repeat(np.arange(SERIES), LENGTH),
    "ds": np.tile(np.arange(LENGTH), SERIES),
    "y": values,
})
past, future = data[data.ds < LENGTH - HORIZON], data[data.ds >= LENGTH - HORIZON]


def coverage(intervals):
    """The share of future values inside the interval, by level."""
    forecaster = StatsForecast(models=[HistoricAverage(prediction_intervals=intervals)], freq=1, n_jobs=1)
    table = forecaster.forecast(df=past, h=HORIZON, level=LEVELS).merge(future, on=["unique_id", "ds"])
    low, high = "HistoricAverage-lo-{}", "HistoricAverage-hi-{}"
    return [float(table.y.between(table[low.format(n)], table[high.format(n)]).mean()) for n in LEVELS]


default = ConformalIntervals(h=HORIZON)
print("windows   " + "   ".join(f"asked {level} %" for level in LEVELS))
found = {}
for intervals in (default, ConformalIntervals(h=HORIZON, n_windows=10)):
    found[intervals.n_windows] = coverage(intervals)
    print(f"{intervals.n_windows:<7}   " + "   ".join(f"{share:10.3f}" for share in found[intervals.n_windows]))

as_described = default.n_windows == 2 and found[2][1] < 0.70 and found[2][2] < 0.70 and found[10][2] < 0.93
if not as_described:
    sys.exit("changed: the behaviour is no longer as described")
PYTHON
