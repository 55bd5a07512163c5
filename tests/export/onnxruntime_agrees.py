"""Checks ONNX files of cellc with onnx's own checker and runs them in onnxruntime.

    python onnxruntime_agrees.py FOLDER

FOLDER is what `cargo run --example export_cases -- FOLDER` wrote: NAME.*.onnx, and in NAME.safetensors the
images and what cellc computes of them. Exits with 1 if a file is not valid or a result differs by more than
1e-4 of the largest magnitude in it.

Deep networks of random filters amplify rounding. Where a change of the last bit of every pixel changes what
onnxruntime itself computes so much that 1e-4 cannot be had, the limit is four times that change.
"""

import sys
from pathlib import Path

import numpy
import onnx
import onnxruntime
from safetensors.numpy import load_file

LIMIT = 1e-4
AMPLIFIED = 4
BATCHES = (1, 3, 8)


def relative(found, expected):
    """The largest difference relative to the largest magnitude."""
    if found.shape != expected.shape or not numpy.isfinite(found).all():
        return float("inf")
    return float(numpy.abs(found - expected).max() / numpy.abs(expected).max())


def next_to(image):
    """The image with the last bit of every pixel changed, up or down."""
    directions = numpy.random.default_rng(0).choice(numpy.float32([-numpy.inf, numpy.inf]), image.shape)
    return numpy.nextafter(image, directions)


def differences(file, tensors):
    """The largest relative difference among the results for each batch, and that for a change of last bits."""
    onnx.checker.check_model(str(file), full_check=True)
    graph = onnx.load(str(file)).graph
    for value in (*graph.input, *graph.output):
        assert value.type.tensor_type.shape.dim[0].dim_param == "batch", f"{value.name}: batch is fixed"
    session = onnxruntime.InferenceSession(str(file), providers=["CPUExecutionProvider"])
    (image,) = (value.name for value in session.get_inputs())
    names = [value.name for value in session.get_outputs()]
    found = []
    for batch in BATCHES:
        expected = [tensors[f"{batch}.{name}"] for name in names]
        results = session.run(names, {image: tensors[f"{batch}.{image}"]})
        found.append(max(map(relative, results, expected)))
    changed = session.run(names, {image: next_to(tensors[f"{batch}.{image}"])})
    return found, max(map(relative, changed, results))


def main(folder):
    print(f"onnx {onnx.__version__}, onnxruntime {onnxruntime.__version__}; largest relative differences")
    print(f"{'file':<52}" + "".join(f"batch {batch:<5}" for batch in BATCHES) + "last bits changed")
    passed = failed = 0
    for file in sorted(folder.glob("*.onnx")):
        name = file.name.removesuffix(".onnx").rsplit(".", 1)[0]
        found, rounding = differences(file, load_file(folder / f"{name}.safetensors"))
        is_fine = max(found) <= max(LIMIT, AMPLIFIED * rounding)
        passed, failed = passed + is_fine, failed + (not is_fine)
        row = "".join(f"{value:<11.1e}" for value in (*found, rounding))
        print(f"{file.name:<52}{row}{'' if is_fine else 'TOO LARGE'}")
    print(f"{passed} passed, {failed} failed")
    return 1 if failed or not passed else 0


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1])))
