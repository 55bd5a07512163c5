#!/usr/bin/env python3
"""DARTS V2 with 16 channels and 8 layers in PyTorch, wired by hand from the genotype and `model.py` of the
released code: logits, loss and the gradient of every parameter, in double precision. Writes darts_v2.json
beside this file.

    pip install torch && python3 tests/reference/darts_v2.py

One thing is not as in the released code: at stride 2 that pads maps of even size by a pixel on each side,
and this as the language does, by one behind.
"""
import torch

from pieces import bn, conv, dilated, factorized, head, pool, relu, sep, stem, write

BASE, LAYERS = 16, 8

# (operation, state) for left and right; state 0 is the earlier input, 1 the most recent one.
NORMAL = ("n", [(("sep", 0), ("sep", 1)), (("sep", 0), ("sep", 1)), (("sep", 1), ("skip", 0)),
                (("skip", 0), ("dil", 2))])
REDUCTION = ("r", [(("max", 0), ("max", 1)), (("skip", 2), ("max", 1)), (("max", 0), ("skip", 2)),
                   (("skip", 2), ("max", 1))])


def apply(op, x, path, c, s):
    if op == "skip":
        assert s == 1, "none of its cells skips at stride 2"
        return x
    if op == "sep":
        return sep(x, path, c, 3, s)
    return dilated(x, path, c, s) if op == "dil" else pool(x, path, c, "max", s)


def squeeze(x, path, c):
    return bn(conv(relu(x), path + ".conv1", c), path + ".bn1")


def cell(kind, index, h, prev, c):
    (letter, blocks), path = kind, f"cells.{index}"
    recent = squeeze(h, path + ".a", c)
    if prev.shape[2] != h.shape[2]:
        earlier = factorized(relu(prev), path + ".b", c)
    else:
        earlier = squeeze(prev, path + ".b", c)
    states = [earlier, recent]
    for number, (left, right) in enumerate(blocks, 1):
        sides = []
        for side, (op, state) in (("left", left), ("right", right)):
            stride = 2 if letter == "r" and state < 2 else 1
            sides.append(apply(op, states[state], f"{path}.{letter}{number}.{side}", c, stride))
        states.append(sides[0] + sides[1])
    return torch.cat(states[2:], 1)


def network(x):
    h = prev = stem(x, 3 * BASE)
    c = BASE
    for index in range(LAYERS):
        reduces = index in (LAYERS // 3, 2 * LAYERS // 3)
        c *= 2 if reduces else 1
        h, prev = cell(REDUCTION if reduces else NORMAL, index, h, prev, c), h
    return head(h)


write(__file__, network)
