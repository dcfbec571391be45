#!/usr/bin/env python3
"""Forecasts of AutoETS, AutoTheta, MSTL (statsforecast) and FLAIR (flaircast) on the windows
that `evenkeel forecast-eval --export-windows DIR` wrote, one CSV file a model, to be read back
with `--baseline NAME=FILE.csv`.

Each model is fitted anew at each origin to the history that was known then, gaps closed by
interpolation. FLAIR gets the last HISTORY_DAYS days, HISTORY_POINTS_MAX values at most; the others,
whose time grows with the history, the larger of a number of values and of days. The season is a
day; AutoETS gets none above ETS_SEASON_MAX steps, which it cannot fit.
"""

import argparse
import csv
import json
import os
import sys
import time
import warnings
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")

import numpy as np

HISTORY_DAYS = 28
HISTORY_POINTS_MAX = 8064
# Values and days.
SMOOTHING_HISTORY = (600, 2)
DECOMPOSED_HISTORY = (2016, 3)
ETS_SEASON_MAX = 24
SAMPLES = 200


def history(window, origin, points):
    """The last values known at an origin, without gaps, the newest last."""
    begin = max(0, origin + 1 - points)
    values = np.array([np.nan if v is None else v for v in window["values"][begin : origin + 1]], dtype=float)
    known = np.flatnonzero(~np.isnan(values))
    return np.interp(np.arange(len(values)), known, values[known])


def from_levels(forecast, quantiles):
    """The nine quantiles out of a statsforecast answer with 80, 60, 40 and 20 % intervals."""
    columns = []
    for quantile in quantiles:
        level = round(abs(2 * quantile - 1) * 100)
        key = "mean" if level == 0 else f"lo-{level}" if quantile < 0.5 else f"hi-{level}"
        columns.append(np.asarray(forecast[key]))
    return np.stack(columns, axis=1)


def statsforecast_model(name, season):
    from statsforecast.models import MSTL, AutoETS, AutoTheta

    if name == "auto_ets":
        return AutoETS(season_length=season if season <= ETS_SEASON_MAX else 1)
    if name == "auto_theta":
        return AutoTheta(season_length=season)
    return MSTL(season_length=season, trend_forecaster=AutoETS(model="ZZN"))


def forecast(name, window, origin):
    """Quantiles at each horizon: an array of 16 × 9."""
    steps = np.array(window["horizons"]) - 1
    season, longest = window["steps_per_day"], window["horizons"][-1]
    if name == "flair":
        points = min(HISTORY_DAYS * season, HISTORY_POINTS_MAX)
    else:
        least, days = DECOMPOSED_HISTORY if name == "mstl" else SMOOTHING_HISTORY
        points = max(least, days * season)
    values = history(window, origin, points)
    if name == "flair":
        import flaircast

        minutes = round(window["step_s"] / 60)
        samples = flaircast.forecast(values, longest, "h" if minutes == 60 else f"{minutes}min", SAMPLES, seed=0)
        return np.quantile(samples[:, steps], window["quantiles"], axis=0).T
    answer = statsforecast_model(name, season).forecast(values, longest, level=[20, 40, 60, 80])
    return from_levels(answer, window["quantiles"])[steps]


def seasonal_naive(window, origin):
    values, season = history(window, origin, HISTORY_POINTS_MAX), window["steps_per_day"]
    points = [values[-1 - (season - h) % season] if len(values) > season else values[-1] for h in window["horizons"]]
    return np.repeat(np.array(points)[:, None], len(window["quantiles"]), axis=1)


def run_series(name, path):
    warnings.filterwarnings("ignore")
    window = json.loads(path.read_text())
    rows, failures, begin = [], 0, time.process_time()
    for origin in window["origins"]:
        try:
            quantiles = np.maximum(np.sort(forecast(name, window, origin), axis=1), 0.0)
            if not np.isfinite(quantiles).all():
                raise ValueError("a quantile is not finite")
        except Exception as error:  # A model that fails is served by the fallback, and it is said.
            failures += 1
            last_error = error
            quantiles = seasonal_naive(window, origin)
        rows += [[window["series"], origin, index, *row] for index, row in enumerate(quantiles)]
    said = f"{name:<11}{window['series']:<45}{time.process_time() - begin:7.1f} s"
    if failures:
        said += f"  {failures} of {len(window['origins'])} failed, seasonal naive in their place: {last_error}"
    print(said, file=sys.stderr, flush=True)
    return rows


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("windows", type=Path, help="folder that --export-windows wrote")
    parser.add_argument("--out", type=Path, required=True, help="folder for MODEL.csv")
    parser.add_argument("--models", nargs="+", default=["flair", "auto_ets", "auto_theta", "mstl"])
    parser.add_argument("--workers", type=int, default=os.cpu_count())
    arguments = parser.parse_args()
    paths = sorted(arguments.windows.glob("*.json"))
    arguments.out.mkdir(parents=True, exist_ok=True)
    for name in arguments.models:
        with ProcessPoolExecutor(arguments.workers) as pool:
            answers = list(pool.map(run_series, [name] * len(paths), paths))
        with (arguments.out / f"{name}.csv").open("w", newline="") as file:
            writer = csv.writer(file)
            writer.writerow(["series", "origin", "horizon", *(f"q{round(100 * q)}" for q in np.arange(1, 10) / 10)])
            for rows in answers:
                writer.writerows([*row[:3], *(f"{value:.6g}" for value in row[3:])] for row in rows)


if __name__ == "__main__":
    main()
