"""Writes trajectories.json: a few parameters under the optimizers of PyTorch and timm, in double precision.

    pip install torch timm
    python trajectories.py > trajectories.json

The gradients do not depend on the parameters, and the learning rate falls from step to step, so that a
velocity that holds the rate differs from one that does not. `RMSpropTF` of timm has the update of
`tf.train.RMSPropOptimizer`: epsilon inside the root, mean squares that start at 1.
"""

import json
import math
import sys

import timm
import torch
from timm.optim import RMSpropTF

STEPS = 8
START = [1.5, -0.25, 0.0, 3.0e-3, -2.0]
GRADIENTS = [
    [round(scale * math.sin(1.7 * step + index), 4) for index, scale in enumerate([1, 0.1, 3, 1e-3, 20])]
    for step in range(STEPS)
]
RATES = [0.1 / (1 + step) for step in range(STEPS)]

OPTIMIZERS = {
    "sgd": lambda p: torch.optim.SGD(p, lr=1),
    "momentum": lambda p: torch.optim.SGD(p, lr=1, momentum=0.9),
    "nesterov": lambda p: torch.optim.SGD(p, lr=1, momentum=0.9, nesterov=True),
    "momentum, decay": lambda p: torch.optim.SGD(p, lr=1, momentum=0.9, weight_decay=0.05),
    "adam": lambda p: torch.optim.Adam(p, lr=1, betas=(0.9, 0.999), eps=1e-8),
    "adam, 0.5": lambda p: torch.optim.Adam(p, lr=1, betas=(0.5, 0.9), eps=1e-3),
    "rmsprop": lambda p: RMSpropTF(p, lr=1, alpha=0.9, eps=1.0, momentum=0.9),
    "rmsprop, 1e-10": lambda p: RMSpropTF(p, lr=1, alpha=0.9, eps=1e-10, momentum=0.0),
}


def trajectory(make):
    p = torch.tensor(START, dtype=torch.float64, requires_grad=True)
    optimizer = make([p])
    points = []
    for gradient, rate in zip(GRADIENTS, RATES):
        p.grad = torch.tensor(gradient, dtype=torch.float64)
        for group in optimizer.param_groups:
            group["lr"] = rate
        optimizer.step()
        points.append(p.tolist())
    return points


json.dump(
    {
        "versions": {"torch": torch.__version__, "timm": timm.__version__},
        "start": START,
        "rates": RATES,
        "gradients": GRADIENTS,
        "trajectories": {name: trajectory(make) for name, make in OPTIMIZERS.items()},
    },
    sys.stdout,
    indent=1,
)
print()
