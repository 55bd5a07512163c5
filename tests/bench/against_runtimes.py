#!/usr/bin/env python3
"""Inference of cellc beside onnxruntime and OpenVINO on the network that cellc exports, alternating in one run.

    pip install onnxruntime openvino && python3 tests/bench/against_runtimes.py target/release/cellc \\
        --cell nasnet_a --net cifar --scale 2@768 --batch 32 --threads 2 --rounds 3

All compute in f32. Of several rounds the fastest median counts, because whatever else the machine does only ever
makes an inference slower.
"""
import argparse, json, pathlib, statistics, subprocess, tempfile, time
import numpy as np
import onnxruntime
import openvino

parser = argparse.ArgumentParser()
parser.add_argument("cellc")
parser.add_argument("--cell", default="nasnet_a")
parser.add_argument("--net", default="cifar")
parser.add_argument("--scale", default="2@768")
parser.add_argument("--batch", type=int, default=32)
parser.add_argument("--threads", type=int, default=2)
parser.add_argument("--steps", type=int, default=9)
parser.add_argument("--rounds", type=int, default=3)
options = parser.parse_args()
network = ["--net", options.net, "--scale", options.scale]

with tempfile.TemporaryDirectory() as folder:
    path = pathlib.Path(folder, "network.onnx")
    subprocess.run([options.cellc, "export", options.cell, *network, "--onnx", "-o", path], check=True,
                   capture_output=True)
    settings = onnxruntime.SessionOptions()
    settings.intra_op_num_threads = options.threads
    session = onnxruntime.InferenceSession(path, settings, providers=["CPUExecutionProvider"])
    (image,) = session.get_inputs()
    x = np.random.default_rng(0).standard_normal([options.batch, *image.shape[1:]]).astype(np.float32)
    compiled = openvino.Core().compile_model(
        path, "CPU", {"INFERENCE_NUM_THREADS": options.threads, "INFERENCE_PRECISION_HINT": "f32"})


def median_ms(f):
    times = []
    for _ in range(options.steps + 2):
        start = time.perf_counter()
        f()
        times.append((time.perf_counter() - start) * 1e3)
    return statistics.median(times[2:])


def cellc():
    command = [options.cellc, "bench", "infer", "--json", "--cell", options.cell, *network, "--batch", options.batch,
               "--threads", options.threads, "--steps", options.steps]
    report = subprocess.run(list(map(str, command)), check=True, capture_output=True, text=True).stdout
    return json.loads(report)["infer_ms"]


programs = {"cellc": cellc, "onnxruntime": lambda: median_ms(lambda: session.run(None, {image.name: x})),
            "OpenVINO": lambda: median_ms(lambda: compiled([x]))}
fastest = {}
for _ in range(options.rounds):
    for name, run in programs.items():
        fastest[name] = min(run(), fastest.get(name, float("inf")))

ms = fastest.pop("cellc")
peer = min(fastest, key=fastest.get)
others = ", ".join(f"{name} {peer_ms:.1f} ms" for name, peer_ms in fastest.items())
print(f"{options.cell} {options.scale}, batch {options.batch}, {options.threads} threads: cellc {ms:.1f} ms, {others}: "
      f"{fastest[peer] / ms:.2f} times faster than {peer}")
