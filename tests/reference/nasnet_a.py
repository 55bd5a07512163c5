#!/usr/bin/env python3
"""NASNet-A 1@48 in PyTorch, wired by hand from the released TensorFlow code: logits, loss and the
gradient of every parameter, in double precision. Writes nasnet_a.json beside this file.

    pip install torch && python3 tests/reference/nasnet_a.py
"""
import torch

from pieces import bn, conv, factorized, head, identity, pool, relu, sep, stem, write

BASE, N = 2, 1

# (operation, state) for left and right; state 0 is the most recent input, 1 the one before it.
NORMAL = ("n", [(("sep5", 0), ("sep3", 1)), (("sep5", 1), ("sep3", 1)), (("avg", 0), ("id", 1)),
                (("avg", 1), ("avg", 1)), (("sep3", 0), ("id", 0))], [1, 2, 3, 4, 5, 6])
REDUCTION = ("r", [(("sep5", 0), ("sep7", 1)), (("max", 0), ("sep7", 1)), (("avg", 0), ("sep5", 1)),
                   (("avg", 2), ("id", 3)), (("sep3", 2), ("max", 0))], [3, 4, 5, 6])


def apply(op, x, path, c, s):
    if op.startswith("sep"):
        return sep(x, path, c, int(op[3]), s)
    return identity(x, path, c, s) if op == "id" else pool(x, path, c, op, s)


def cell(kind, index, h, prev, c):
    (letter, blocks, out), path = kind, f"cells.{index}"
    reduces = letter == "r"
    a = bn(conv(relu(h), path + ".a.conv1", c), path + ".a.bn1")
    if prev is None:                            # the first cell reads the raw stem
        b = h
    elif prev.shape[2] != h.shape[2]:
        b = factorized(relu(prev), path + ".b", c)
    elif prev.shape[1] != c:
        b = bn(conv(relu(prev), path + ".b.conv1", c), path + ".b.bn1")
    else:
        b = prev
    states = [a, b]
    for number, (left, right) in enumerate(blocks, 1):
        sides = []
        for side, (op, state) in (("left", left), ("right", right)):
            stride = 2 if reduces and state < 2 else 1
            sides.append(apply(op, states[state], f"{path}.{letter}{number}.{side}", c, stride))
        states.append(sides[0] + sides[1])
    if 1 in out and states[1].shape[1] != c:
        states[1] = bn(conv(states[1], path + ".out.b.conv1", c), path + ".out.b.bn1")
    return torch.cat([states[state] for state in out], 1)


def network(x):
    c = BASE
    h, prev, index = stem(x, 3 * c), None, 0
    for stage in range(3):
        kinds = ([REDUCTION] if stage else []) + [NORMAL] * N
        c *= 2 if stage else 1
        for kind in kinds:
            h, prev, index = cell(kind, index, h, prev, c), h, index + 1
    return head(relu(h))


write(__file__, network)
