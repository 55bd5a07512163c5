#!/usr/bin/env python3
"""Training steps of cellc beside those of a PyTorch script, alternating in one run: the times of both and
their ratio, and the ratio of the peaks of memory.

    python3 tests/bench/against_pytorch.py target/release/cellc PEER.py \\
        --cell nasnet_a --net cifar --scale 2@768 --batch 32 --threads 2 --rounds 3

PEER.py takes --scale, --batch, --threads, --steps and --mode and prints one line of JSON with train_step_ms and
peak_rss_mib. The best mode of the peer counts. Of several rounds the fastest does, because whatever else the
machine does only ever makes a step slower.
"""
import argparse, json, subprocess, sys

parser = argparse.ArgumentParser()
parser.add_argument("cellc")
parser.add_argument("peer")
parser.add_argument("--cell", default="nasnet_a")
parser.add_argument("--net", default="cifar")
parser.add_argument("--scale", default="2@768")
parser.add_argument("--batch", default="32")
parser.add_argument("--threads", default="2")
parser.add_argument("--steps", default="5")
parser.add_argument("--rounds", type=int, default=3)
parser.add_argument("--modes", default="eager,channels_last")
options = parser.parse_args()
common = ["--scale", options.scale, "--batch", options.batch, "--threads", options.threads, "--steps", options.steps]


def report(command):
    return json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout.splitlines()[-1])


fastest = {}
for _ in range(options.rounds):
    runs = {"cellc": [options.cellc, "bench", "train", "--json", "--cell", options.cell, "--net", options.net]}
    for mode in options.modes.split(","):
        runs[mode] = [sys.executable, options.peer, "--mode", mode]
    for name, command in runs.items():
        found = report(command + common)
        found = (found["train_step_ms"], found["peak_rss_mib"])
        fastest[name] = min(found, fastest.get(name, found))

ms, mib = fastest.pop("cellc")
peer = min(fastest, key=fastest.get)
peer_ms, peer_mib = fastest[peer]
print(f"{options.scale}, batch {options.batch}, {options.threads} threads: cellc {ms:.1f} ms and {mib} MiB, PyTorch ({peer}) "
      f"{peer_ms:.1f} ms and {peer_mib} MiB: {peer_ms / ms:.2f} times faster in {100 * mib / peer_mib:.0f} % of the memory")
