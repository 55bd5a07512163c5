"""Compares the logits of imported networks with those of timm and Keras.

    python tests/import/logits_agree.py target/release/cellc

Every network is made by the other program at its real size with random parameters and statistics, written in
the format that its pretrained weights are shipped in, imported, and shown the same two PNG files. The largest
difference must be below 1e-3 of the largest logit, and weights that are wrong must be refused by name.
"""

import gc
import json
import os
import subprocess
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
from keras.src.applications.nasnet import NASNet  # The public wrappers refuse this backend.
from PIL import Image
from safetensors.torch import load_file, save_file

LARGEST_DIFFERENCE = 1e-3
IMAGES = 2


def make_images(folder, size):
    """PNG files and their pixels in [-1, 1], N x H x W x C."""
    rng = np.random.default_rng(7)
    paths, pixels = [], []
    for index in range(IMAGES):
        # Large spots and noise: neighbouring pixels are alike, as in a photograph.
        spots = rng.integers(0, 256, (6, 6, 3), dtype=np.uint8)
        image = np.asarray(Image.fromarray(spots).resize((size, size), Image.BILINEAR), np.int16)
        image = np.clip(image + rng.integers(-40, 41, image.shape), 0, 255).astype(np.uint8)
        path = folder / f"{size}-{index}.png"
        Image.fromarray(image).save(path)
        paths.append(path)
        pixels.append((image.astype(np.float32) - 127.5) / 127.5)
    return paths, np.stack(pixels)


def run(cellc, *arguments):
    return subprocess.run([cellc, *map(str, arguments)], capture_output=True, text=True)


def logits_of(cellc, weights, paths, *options):
    checkpoint = weights.parent / "imported.safetensors"
    done = run(cellc, "import", weights, "--out", checkpoint, *options)
    assert done.returncode == 0, done.stderr
    print("  " + done.stdout.splitlines()[0].split(": ", 1)[1])
    done = run(cellc, "predict", checkpoint, *paths, "--top", "1000", "--format", "json")
    assert done.returncode == 0, done.stderr
    rows = []
    for image in json.loads(done.stdout)["images"]:
        classes = sorted(image["classes"], key=lambda entry: entry["class"])
        rows.append([entry["logit"] for entry in classes])
    done = run(cellc, "stats", checkpoint)
    assert done.returncode == 0 and "total" in done.stdout, done.stderr
    checkpoint.unlink()
    return np.array(rows)


def compare(what, expected, found):
    assert expected.shape == found.shape, (expected.shape, found.shape)
    assert expected.std(axis=1).min() > 1e-2, "logits that say nothing"
    # Both images would give the same logits if only biases counted.
    assert np.abs(expected[0] - expected[1]).max() > 1e-2 * np.abs(expected).max()
    difference = np.abs(expected - found).max() / np.abs(expected).max()
    print(f"  {what}: largest difference {difference:.1e} of the largest logit")
    assert difference < LARGEST_DIFFERENCE, difference


def random_statistics(rng, shape, what):
    """Scales around 1, shifts and means around 0, variances of 0.5 to 1.5."""
    if what in ("scale", "variance"):
        return rng.uniform(0.5, 1.5, shape).astype(np.float32)
    return rng.normal(0.0, 0.2, shape).astype(np.float32)


def of_timm(cellc, folder, name):
    print(name)
    rng = np.random.default_rng(3)
    model = timm.create_model(name).eval()
    with torch.no_grad():
        for module in model.modules():
            if isinstance(module, torch.nn.BatchNorm2d):
                kinds = [("weight", "scale"), ("bias", "shift"), ("running_mean", "mean"),
                         ("running_var", "variance")]
                for attribute, what in kinds:
                    tensor = getattr(module, attribute)
                    values = random_statistics(rng, tuple(tensor.shape), what)
                    tensor.copy_(torch.from_numpy(values))
            elif isinstance(module, torch.nn.Linear):
                module.bias.normal_(0.0, 0.1)
        paths, pixels = make_images(folder, 331)
        calibrate_torch(model, torch.from_numpy(pixels.transpose(0, 3, 1, 2).copy()))
        expected = model(torch.from_numpy(pixels.transpose(0, 3, 1, 2).copy())).numpy()
    weights = folder / "model.safetensors"
    save_file(model.state_dict(), weights, metadata={"format": "pt"})
    del model
    gc.collect()
    compare("safetensors", expected, logits_of(cellc, weights, paths))
    if name == "nasnetalarge":
        refuses_wrong_tensors(cellc, weights)
    weights.unlink()


def calibrate_torch(model, images):
    """Sets each normalization's statistics to about those of its input: activations stay near 1."""
    def hook(module, inputs):
        x = inputs[0]
        mean, var = x.mean((0, 2, 3)), x.var((0, 2, 3), unbiased=False)
        module.running_mean.mul_(var.sqrt()).add_(mean)
        module.running_var.mul_(var + 1e-2)
    norms = [m for m in model.modules() if isinstance(m, torch.nn.BatchNorm2d)]
    hooks = [norm.register_forward_pre_hook(hook) for norm in norms]
    model(images)
    for hook in hooks:
        hook.remove()


def refuses_wrong_tensors(cellc, weights):
    """Missing, additional and misshapen tensors are named."""
    state = load_file(weights)
    name = "cell_7.comb_iter_1_right.separable_2.pointwise_conv2d.weight"
    wrong = weights.parent / "wrong.safetensors"
    tensor = state.pop(name)
    extra = {**state, name: tensor, "cell_7.extra.weight": torch.zeros(3)}
    shape = {**state, name: tensor[1:].contiguous()}
    for broken, text in [(state, f"lacks `{name}`"), (extra, "takes `cell_7.extra.weight`"),
                         (shape, f"`{name}` is [335, 336, 1, 1], expected [336, 336, 1, 1]")]:
        save_file(broken, wrong)
        done = run(cellc, "import", wrong)
        assert done.returncode == 1 and text in done.stderr, done.stderr
        wrong.unlink()
    print("  missing, additional and misshapen tensors are refused")


def of_keras(cellc, folder, name, formats, **arguments):
    print(name)
    rng = np.random.default_rng(5)
    size = arguments["input_shape"][0]
    model = NASNet(weights=None, classifier_activation=None, **arguments)
    paths, pixels = make_images(folder, size)
    norms = [layer for layer in model.layers if isinstance(layer, keras.layers.BatchNormalization)]
    with torch.no_grad():
        for layer in norms:
            for variable, what in zip(layer.weights, ["scale", "shift", "mean", "variance"]):
                variable.assign(random_statistics(rng, variable.shape, what))
        for layer in norms:
            calibrate_keras(layer)
        model(torch.from_numpy(pixels), training=False)
        for layer in norms:
            del layer.call
        predictions = model.get_layer("predictions")
        bias = rng.normal(0.0, 0.1, predictions.bias.shape)
        predictions.bias.assign(bias.astype(np.float32))
        expected = model(torch.from_numpy(pixels), training=False).numpy()
    for form in formats:
        weights = folder / f"{name}{form}"
        if form == ".weights.h5":
            model.save_weights(weights)
        elif form == ".h5":
            # As the files that Keras ships: no model, only the weights of each layer.
            from keras.src.legacy.saving.legacy_h5_format import save_weights_to_hdf5_group
            with h5py.File(weights, "w") as file:
                save_weights_to_hdf5_group(file, model)
        else:
            model.save(weights)
        compare(form, expected, logits_of(cellc, weights, paths))
        weights.unlink()
    del model
    gc.collect()


def calibrate_keras(layer):
    """As `calibrate_torch`, in place of the layer's next call."""
    call = type(layer).call

    def calibrated(inputs, *arguments, **named):
        x = inputs.float()
        mean, var = x.mean((0, 1, 2)), x.var((0, 1, 2), unbiased=False)
        layer.moving_mean.assign(layer.moving_mean.value * var.sqrt() + mean)
        layer.moving_variance.assign(layer.moving_variance.value * (var + 1e-2))
        return call(layer, inputs, *arguments, **named)

    layer.call = calibrated


def main():
    cellc = sys.argv[1]
    torch.manual_seed(1)
    keras.utils.set_random_seed(1)
    with tempfile.TemporaryDirectory() as folder:
        folder = Path(folder)
        mobile = dict(input_shape=(224, 224, 3), penultimate_filters=1056, num_blocks=4,
                      stem_block_filters=32, skip_reduction=False)
        of_keras(cellc, folder, "nasnet_mobile", [".h5", ".weights.h5", ".keras"], **mobile)
        large = dict(input_shape=(331, 331, 3), penultimate_filters=4032, num_blocks=6,
                     stem_block_filters=96, skip_reduction=True)
        of_keras(cellc, folder, "nasnet_large", [".h5"], **large)
        for name in ["nasnetalarge", "pnasnet5large"]:
            of_timm(cellc, folder, name)


if __name__ == "__main__":
    main()
