#!/usr/bin/env python3
"""NASNet-A 1@48 in PyTorch, wired by hand from the released TensorFlow code: logits, loss and the
gradient of every parameter, in double precision. Writes nasnet_a.json beside this file.

    pip install torch && python3 tests/reference/nasnet_a.py

Parameters and images come from a formula that tests/reference.rs repeats, so none are stored. Of each
gradient two numbers are: its norm and its product with one more such vector.
"""
import json, pathlib
import torch
import torch.nn.functional as F

torch.set_default_dtype(torch.float64)
BASE, N, CLASSES, BATCH, SIZE = 2, 1, 10, 4, 32
MASK = (1 << 64) - 1


def noise(name, count):
    """`count` numbers in [-1, 1) from a name: FNV-1a, then a 64-bit linear congruential generator."""
    state = 0xCBF29CE484222325
    for byte in name.encode():
        state = ((state ^ byte) * 0x100000001B3) & MASK
    out = []
    for _ in range(count):
        state = (state * 6364136223846793005 + 1442695040888963407) & MASK
        out.append((state >> 40) / (1 << 23) - 1.0)
    # Single precision is what the network under test starts from.
    return torch.tensor(out, dtype=torch.float32).double()


PARAMS = {}


def param(path, *shape):
    count = 1
    for n in shape:
        count *= n
    values = noise(path, count)
    if path.endswith(".weight") and len(shape) == 1:
        values = 1.0 + 0.25 * values            # the scale of a normalization
    elif len(shape) > 1:
        values = values * (2.0 / max(1, count // shape[0])) ** 0.5
    else:
        values = values * 0.1
    values = values.float().double()
    PARAMS[path] = values.reshape(shape).requires_grad_()
    return PARAMS[path]


def bn(x, path):
    c = x.shape[1]
    return F.batch_norm(x, None, None, param(path + ".weight", c), param(path + ".bias", c), True, 0.1, 1e-5)


def same(x, k, s, value=0.0):
    """Pads as TensorFlow's SAME does: the smaller half first."""
    pads = []
    for n in (x.shape[3], x.shape[2]):
        total = max((-(-n // s) - 1) * s + k - n, 0)
        pads += [total // 2, total - total // 2]
    return F.pad(x, pads, value=value)


def conv(x, path, c, s=1):
    return F.conv2d(x, param(path + ".weight", c, x.shape[1], 1, 1), stride=s)


def sep(x, path, c, k, s):
    for half, stride in ((1, s), (2, 1)):
        x = F.relu(x)
        x = F.conv2d(same(x, k, stride), param(f"{path}.dw{half}.weight", x.shape[1], 1, k, k),
                     stride=stride, groups=x.shape[1])
        x = bn(conv(x, f"{path}.conv{half}", c), f"{path}.bn{half}")
    return x


def pool(x, path, c, kind, s):
    if kind == "max":
        y = F.max_pool2d(same(x, 3, s, -torch.inf), 3, s)
    else:                                       # the padding is not counted
        count = F.avg_pool2d(same(torch.ones_like(x), 3, s), 3, s)
        y = F.avg_pool2d(same(x, 3, s), 3, s) / count
    return y if x.shape[1] == c else bn(conv(y, path + ".conv1", c), path + ".bn1")


def identity(x, path, c, s):
    if s == 1 and x.shape[1] == c:
        return x
    return bn(conv(F.relu(x), path + ".conv1", c, s), path + ".bn1")


def factorized(x, path, c):
    shifted = F.pad(x, (0, 1, 0, 1))[:, :, 1:, 1:]
    both = [conv(x, path + ".conv1", c // 2, 2), conv(shifted, path + ".conv2", c - c // 2, 2)]
    return bn(torch.cat(both, 1), path + ".bn1")


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
    a = bn(conv(F.relu(h), path + ".a.conv1", c), path + ".a.bn1")
    if prev is None:                            # the first cell reads the raw stem
        b = h
    elif prev.shape[2] != h.shape[2]:
        b = factorized(F.relu(prev), path + ".b", c)
    elif prev.shape[1] != c:
        b = bn(conv(F.relu(prev), path + ".b.conv1", c), path + ".b.bn1")
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
    x = F.conv2d(x, param("stem.conv1.weight", 3 * c, 3, 3, 3), padding=1)
    h, prev, index = bn(x, "stem.bn1"), None, 0
    for stage in range(3):
        kinds = ([REDUCTION] if stage else []) + [NORMAL] * N
        c *= 2 if stage else 1
        for kind in kinds:
            h, prev, index = cell(kind, index, h, prev, c), h, index + 1
    x = F.relu(h).mean((2, 3))
    return F.linear(x, param("head.dense1.weight", CLASSES, x.shape[1]), param("head.dense1.bias", CLASSES))


images = noise("images", BATCH * 3 * SIZE * SIZE).reshape(BATCH, 3, SIZE, SIZE)
labels = torch.tensor([(3 * n) % CLASSES for n in range(BATCH)])
logits = network(images)
loss = F.cross_entropy(logits, labels)
loss.backward()
gradients = {path: [values.grad.norm().item(),
                    (values.grad.flatten() * noise("check " + path, values.numel())).sum().item()]
             for path, values in sorted(PARAMS.items())}
result = dict(pytorch=torch.__version__, logits=logits.detach().flatten().tolist(), loss=loss.item(),
              gradients=gradients)
pathlib.Path(__file__).with_suffix(".json").write_text(json.dumps(result, indent=0) + "\n")
print(loss.item(), sum(values.numel() for values in PARAMS.values()))
