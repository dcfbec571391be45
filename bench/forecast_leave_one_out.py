#!/usr/bin/env python3
"""Zero-shot forecasts: for each family of series, train on all others and forecast it.

A family is one file, or several with a comma between them. It is left out as a whole, so that no
sibling of a series (another client of the same service, or the total of all) is in the training
data. Prints the weighted quantile loss over seasonal naive of each series and the geometric mean.
"""

import argparse
import json
import math
import subprocess
import tempfile
from pathlib import Path


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--evenkeel", default="target/release/evenkeel", help="the binary")
    parser.add_argument("--seed", default="1")
    parser.add_argument("--json", type=Path, help="write all figures to this file")
    parser.add_argument("series", nargs="+", help="families of series, at least two")
    arguments = parser.parse_args()
    entries = []
    with tempfile.TemporaryDirectory() as folder:
        model, figures = f"{folder}/model.ekm", f"{folder}/figures.json"
        families = [family.split(",") for family in arguments.series]
        for family in families:
            others = [path for other in families if other is not family for path in other]
            train = [arguments.evenkeel, "forecast-train", "--seed", arguments.seed, "-o", model, "--series", *others]
            subprocess.run(train, check=True, capture_output=True)
            evaluate = [arguments.evenkeel, "forecast-eval", "--zero-shot", "--model", model, "--json", figures]
            subprocess.run([*evaluate, "--series", *family], check=True, capture_output=True)
            own = [entry for entry in json.loads(Path(figures).read_text()) if entry["model"] == "evenkeel"]
            for entry in own:
                print(f"{entry['series']:<48}{entry['metrics']['wql_over_seasonal_naive']['value']:8.3f}", flush=True)
            entries += own
    ratios = [entry["metrics"]["wql_over_seasonal_naive"]["value"] for entry in entries]
    print(f"geometric mean of {len(ratios)}: {math.exp(sum(map(math.log, ratios)) / len(ratios)):.3f}")
    if arguments.json:
        arguments.json.write_text(json.dumps(entries, indent=1))


if __name__ == "__main__":
    main()
