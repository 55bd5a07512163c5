"""Checks ONNX files of cellc with onnx's own checker and runs them in onnxruntime.

    python onnxruntime_agrees.py FOLDER

FOLDER is what `cargo run --example export_cases -- FOLDER` wrote: NAME.*.onnx, and in NAME.safetensors the
images and what cellc computes of them. Exits with 1 if a file is not valid or a result differs by more than
1e-4 of the largest magnitude in it.
"""

import sys
from pathlib import Path

import numpy
import onnx
import onnxruntime
from safetensors.numpy import load_file

LIMIT = 1e-4
BATCHES = (1, 3, 8)


def relative(found, expected):
    """The largest difference relative to the largest magnitude."""
    if found.shape != expected.shape or not numpy.isfinite(found).all():
        return float("inf")
    return float(numpy.abs(found - expected).max() / numpy.abs(expected).max())


def differences(file, tensors):
    """The largest relative difference among the results, for each batch."""
    onnx.checker.check_model(str(file), full_check=True)
    graph = onnx.load(str(file)).graph
    for value in (*graph.input, *graph.output):
        assert value.type.tensor_type.shape.dim[0].dim_param == "batch", f"{value.name}: batch is fixed"
    session = onnxruntime.InferenceSession(str(file), providers=["CPUExecutionProvider"])
    (image,) = (value.name for value in session.get_inputs())
    names = [value.name for value in session.get_outputs()]
    for batch in BATCHES:
        results = session.run(names, {image: tensors[f"{batch}.{image}"]})
        pairs = zip(names, results, strict=True)
        yield max(relative(found, tensors[f"{batch}.{name}"]) for name, found in pairs)


def main(folder):
    print(f"onnx {onnx.__version__}, onnxruntime {onnxruntime.__version__}")
    print(f"{'file':<48} largest relative difference in batches of {', '.join(map(str, BATCHES))}")
    passed = failed = 0
    for file in sorted(folder.glob("*.onnx")):
        name = file.name.removesuffix(".onnx").rsplit(".", 1)[0]
        found = list(differences(file, load_file(folder / f"{name}.safetensors")))
        is_fine = max(found) <= LIMIT
        passed, failed = passed + is_fine, failed + (not is_fine)
        verdict = "" if is_fine else "  TOO LARGE"
        print(f"{file.name:<48} " + "  ".join(f"{value:.1e}" for value in found) + verdict)
    print(f"{passed} passed, {failed} failed")
    return 1 if failed or not passed else 0


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1])))
