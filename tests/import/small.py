"""Makes the files beside this one: small networks of timm and Keras, and the names of large ones.

    python tests/import/small.py tests/import

The numbers are multiples of 1/64, so that the files are small when compressed. `NAME.json` holds the logits of
two images whose pixels `pixel` defines, for the test to compute too.
"""

import gzip
import json
import os
import sys
import tempfile
from pathlib import Path

os.environ["KERAS_BACKEND"] = "torch"
os.environ["CUDA_VISIBLE_DEVICES"] = ""

import h5py
import keras
import numpy as np
import timm
import torch
from keras.src.applications.nasnet import NASNet
from keras.src.legacy.saving.legacy_h5_format import save_weights_to_hdf5_group
from safetensors.torch import save
from timm.models.nasnet import NASNetALarge

SIDE = 64
CLASSES = 7


def images():
    """[2, 3, SIDE, SIDE], the numbers -1 to 1 in steps of 1/50."""
    n, c, h, w = np.indices((2, 3, SIDE, SIDE))
    return (((n * 7 + c * 5 + h * 3 + w * 2) * 37 % 101) / 50 - 1).astype(np.float32)


def rounded(values):
    return (np.round(np.asarray(values, np.float64) * 64) / 64).astype(np.float32)


def scaled(rng, shape, is_depthwise, fan_in):
    spread = 0.5 if is_depthwise else 1.4 / np.sqrt(fan_in)
    return rounded(rng.normal(0.0, spread, shape))


def norm(rng, shape):
    return [rounded(rng.uniform(0.5, 1.5, shape)), rounded(rng.normal(0.0, 0.3, shape)),
            rounded(rng.normal(0.0, 0.3, shape)), rounded(rng.uniform(0.5, 1.5, shape))]


def write(folder, name, data):
    (folder / f"{name}.gz").write_bytes(gzip.compress(data, 9, mtime=0))


def expect(folder, name, logits):
    assert np.isfinite(logits).all() and logits.std(axis=1).min() > 0.1, logits
    text = json.dumps([[float(value) for value in row] for row in logits], indent=1)
    (folder / f"{name}.json").write_text(text + "\n")


def of_timm(folder):
    rng = np.random.default_rng(1)
    model = NASNetALarge(num_classes=CLASSES, stem_size=8, num_features=96).eval()
    with torch.no_grad():
        for module in model.modules():
            if isinstance(module, torch.nn.BatchNorm2d):
                tensors = [module.weight, module.bias, module.running_mean, module.running_var]
                for tensor, values in zip(tensors, norm(rng, module.weight.shape)):
                    tensor.copy_(torch.from_numpy(values))
            elif isinstance(module, torch.nn.Conv2d):
                fan_in = module.weight[0].numel()
                values = scaled(rng, module.weight.shape, module.groups > 1, fan_in)
                module.weight.copy_(torch.from_numpy(values))
            elif isinstance(module, torch.nn.Linear):
                module.weight.copy_(torch.from_numpy(rounded(rng.normal(0, 0.3, module.weight.shape))))
                module.bias.copy_(torch.from_numpy(rounded(rng.normal(0, 0.3, module.bias.shape))))
        logits = model(torch.from_numpy(images())).numpy()
    expect(folder, "timm_nasnet", logits)
    write(folder, "timm_nasnet.safetensors", save(model.state_dict(), {"format": "pt"}))


def of_keras(folder):
    rng = np.random.default_rng(2)
    model = NASNet(input_shape=(SIDE, SIDE, 3), penultimate_filters=96, num_blocks=2,
                   stem_block_filters=8, skip_reduction=False, weights=None, classes=CLASSES,
                   classifier_activation=None)
    for layer in model.layers:
        if isinstance(layer, keras.layers.BatchNormalization):
            for variable, values in zip(layer.weights, norm(rng, layer.gamma.shape)):
                variable.assign(values)
            continue
        for variable in layer.weights:
            shape = tuple(variable.shape)
            depthwise = "depthwise" in variable.name
            variable.assign(scaled(rng, shape, depthwise, int(np.prod(shape[:-1]))))
    pixels = torch.from_numpy(images().transpose(0, 2, 3, 1).copy())
    with torch.no_grad():
        expect(folder, "keras_nasnet", model(pixels, training=False).numpy())
    with tempfile.TemporaryDirectory() as scratch:
        new = Path(scratch) / "keras_nasnet.weights.h5"
        model.save_weights(new)
        write(folder, new.name, new.read_bytes())
        legacy = Path(scratch) / "keras_nasnet.h5"
        with h5py.File(legacy, "w") as file:
            save_weights_to_hdf5_group(file, model)
        write(folder, legacy.name, legacy.read_bytes())


def names(folder, name, shapes):
    lines = [f"{name} {'x'.join(map(str, shape))}".strip() for name, shape in sorted(shapes.items())]
    write(folder, f"{name}.names", ("\n".join(lines) + "\n").encode())


def main():
    folder = Path(sys.argv[1])
    of_timm(folder)
    of_keras(folder)
    with torch.device("meta"):
        for name in ["nasnetalarge", "pnasnet5large"]:
            state = timm.create_model(name).state_dict()
            names(folder, name, {key: tuple(tensor.shape) for key, tensor in state.items()})
    sizes = {"nasnet_mobile": (224, 1056, 4, 32, False), "nasnet_large": (331, 4032, 6, 96, True)}
    for name, (side, filters, blocks, stem, skip) in sizes.items():
        model = NASNet(input_shape=(side, side, 3), penultimate_filters=filters, num_blocks=blocks,
                       stem_block_filters=stem, skip_reduction=skip, weights=None)
        shapes = {f"{layer.name}/{variable.name}": tuple(variable.shape)
                  for layer in model.layers for variable in layer.weights}
        names(folder, name, shapes)


if __name__ == "__main__":
    main()
