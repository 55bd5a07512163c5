"""What the networks wired by hand beside this file are made of, and how their numbers are written.

Parameters and images come from a formula that tests/pytorch.rs repeats, so none are stored. Of each
gradient two numbers are: its norm and its product with one more such vector.
"""
import json, pathlib
import torch
import torch.nn.functional as F

torch.set_default_dtype(torch.float64)
CLASSES, BATCH, SIZE = 10, 4, 32
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

# How far each pass stayed from where a gradient jumps, see `write`.
MARGINS = []


def relu(x):
    MARGINS.append((x.detach().abs().min() / x.detach().std()).item())
    return F.relu(x)


def max_pool(x, k, s):
    windows = F.unfold(x.detach().flatten(0, 1)[:, None], k, stride=s)
    largest = windows.topk(2, 1).values
    MARGINS.append(((largest[:, 0] - largest[:, 1]).min() / windows[windows.isfinite()].std()).item())
    return F.max_pool2d(x, k, s)


def param(path, *shape):
    if path in PARAMS:
        return PARAMS[path]
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
        x = relu(x)
        x = F.conv2d(same(x, k, stride), param(f"{path}.dw{half}.weight", x.shape[1], 1, k, k),
                     stride=stride, groups=x.shape[1])
        x = bn(conv(x, f"{path}.conv{half}", c), f"{path}.bn{half}")
    return x


def pool(x, path, c, kind, s):
    if kind == "max":
        y = max_pool(same(x, 3, s, -torch.inf), 3, s)
    else:                                       # the padding is not counted
        count = F.avg_pool2d(same(torch.ones_like(x), 3, s), 3, s)
        y = F.avg_pool2d(same(x, 3, s), 3, s) / count
    return y if x.shape[1] == c else bn(conv(y, path + ".conv1", c), path + ".bn1")


def identity(x, path, c, s):
    if s == 1 and x.shape[1] == c:
        return x
    return bn(conv(relu(x), path + ".conv1", c, s), path + ".bn1")


def factorized(x, path, c):
    shifted = F.pad(x, (0, 1, 0, 1))[:, :, 1:, 1:]
    both = [conv(x, path + ".conv1", c // 2, 2), conv(shifted, path + ".conv2", c - c // 2, 2)]
    return bn(torch.cat(both, 1), path + ".bn1")


def dilated(x, path, c, s):
    """One depthwise 3x3 of dilation 2, which covers 5x5."""
    x = F.conv2d(same(relu(x), 5, s), param(path + ".dw1.weight", x.shape[1], 1, 3, 3), stride=s,
                 dilation=2, groups=x.shape[1])
    return bn(conv(x, path + ".conv1", c), path + ".bn1")


def stem(x, c):
    x = F.conv2d(x, param("stem.conv1.weight", c, 3, 3, 3), padding=1)
    return bn(x, "stem.bn1")


def head(x):
    x = x.mean((2, 3))
    return F.linear(x, param("head.dense1.weight", CLASSES, x.shape[1]), param("head.dense1.bias", CLASSES))


def images(name):
    return noise(name, BATCH * 3 * SIZE * SIZE).reshape(BATCH, 3, SIZE, SIZE)


def margin(network, name):
    """The smallest distance of a relu's input from 0, and of a pool's two largest numbers, in deviations."""
    MARGINS.clear()
    with torch.no_grad():
        network(images(name))
    return min(MARGINS)


def write(script, network, candidates=300):
    """Runs a network and writes the numbers beside its script.

    Of some batches it takes the one for which relus and pools stay farthest from where their gradients jump: there
    two programs in single precision may be right and on different sides.
    """
    name = max((f"images {number}" for number in range(candidates)), key=lambda name: margin(network, name))
    print(name, margin(network, name))
    labels = torch.tensor([(3 * n) % CLASSES for n in range(BATCH)])
    logits = network(images(name))
    loss = F.cross_entropy(logits, labels)
    loss.backward()
    gradients = {path: [values.grad.norm().item(),
                        (values.grad.flatten() * noise("check " + path, values.numel())).sum().item()]
                 for path, values in sorted(PARAMS.items())}
    result = dict(pytorch=torch.__version__, images=name, logits=logits.detach().flatten().tolist(),
                  loss=loss.item(), gradients=gradients)
    pathlib.Path(script).with_suffix(".json").write_text(json.dumps(result, indent=0) + "\n")
    print(loss.item(), sum(values.numel() for values in PARAMS.values()))
