"""Check ONNX files with the reference checker, and their answers with ONNX Runtime.

    python3 check_onnx.py FILE...
    python3 check_onnx.py FILE --compare ANSWERS.json

The checker runs in full: schema, topological order, type and shape inference. ANSWERS.json
is a list of {"input": rows, "output": rows}; ONNX Runtime must give each output to within
TOLERANCE, as |a - b| / max(1, |a|, |b|).

Needs the packages onnx, onnxruntime and numpy.
"""

import argparse
import json
import sys

import numpy
import onnx
import onnxruntime

TOLERANCE = 1e-5


def check(path):
    """Raise what the checker has to say about the file."""
    onnx.checker.check_model(onnx.load(path), full_check=True)


def largest_difference(path, answers):
    """Return the largest relative difference between ONNX Runtime's answers and the given ones."""
    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    name = session.get_inputs()[0].name
    largest = 0.0
    for answer in answers:
        given = numpy.asarray(answer["output"], dtype=numpy.float32)
        (found,) = session.run(None, {name: numpy.asarray(answer["input"], dtype=numpy.float32)})
        if found.shape != given.shape:
            raise ValueError(f"{path}: ONNX Runtime gives shape {found.shape}, expected {given.shape}")
        scale = numpy.maximum(1.0, numpy.maximum(abs(found), abs(given)))
        largest = max(largest, float((abs(found - given) / scale).max()))
    return largest


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("files", nargs="+", metavar="FILE")
    parser.add_argument("--compare", metavar="ANSWERS.json", help="compare answers; takes a single FILE")
    arguments = parser.parse_args()
    if arguments.compare and len(arguments.files) != 1:
        parser.error("--compare takes a single FILE")
    for path in arguments.files:
        check(path)
        print(f"{path}: OK")
    if arguments.compare:
        with open(arguments.compare, encoding="utf-8") as file:
            difference = largest_difference(arguments.files[0], json.load(file))
        print(f"{arguments.files[0]}: largest relative difference {difference:.1e}")
        if not difference <= TOLERANCE:
            sys.exit(f"{arguments.files[0]}: differs from ONNX Runtime by more than {TOLERANCE:.0e}")


if __name__ == "__main__":
    main()
