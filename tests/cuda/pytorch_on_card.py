#!/usr/bin/env python3
"""Training steps and inference of NASNet-A in PyTorch, on a card: what gpu_check.sh sets beside `cellc bench`.

    pip install torch && python3 tests/cuda/pytorch_on_card.py --scale 2@768 --batch 32 --mode compile

prints one line of JSON. A step is that of `cellc bench`: the batch comes from page-locked memory of the host, SGD with
momentum, decay and a clipped gradient; an inference ends with the logits on the host. Times are those of many in a
row, the card waited for at the end, divided by their number: the median of some rounds. `--check` computes what
tests/reference/nasnet_a.json says, so that both time the same network. The exit code is 3 where there is no PyTorch,
or none with a card.
"""
import argparse, json, pathlib, statistics, sys, time

try:
    import torch
    import torch.nn as nn
    import torch.nn.functional as F
except ImportError as error:
    print(f"PyTorch is not installed for {sys.executable}: {error}", file=sys.stderr)
    sys.exit(3)

REFERENCE = pathlib.Path(__file__).parent.parent / "reference"
EAGER, CHANNELS_LAST, COMPILE, GRAPHS = MODES = ["eager", "channels_last", "compile", "cuda_graphs"]
CLASSES = 10

# (operation, state) for left and right; state 0 is the most recent input, 1 the one before it.
NORMAL = ("n", [("sep5", 0), ("sep3", 1), ("sep5", 1), ("sep3", 1), ("avg", 0), ("id", 1), ("avg", 1), ("avg", 1),
                ("sep3", 0), ("id", 0)], [1, 2, 3, 4, 5, 6])
REDUCTION = ("r", [("sep5", 0), ("sep7", 1), ("max", 0), ("sep7", 1), ("avg", 0), ("sep5", 1), ("avg", 2), ("id", 3),
                   ("sep3", 2), ("max", 0)], [3, 4, 5, 6])


class Depthwise(nn.Module):
    """TensorFlow's SAME: of the zeros around an even side at stride 2 there is one more behind than before."""

    def __init__(self, c, k, stride):
        super().__init__()
        self.pads = [k // 2 - 1, k // 2] * 2 if stride == 2 else None
        self.conv = nn.Conv2d(c, c, k, stride, 0 if self.pads else k // 2, groups=c, bias=False)

    def forward(self, x):
        return self.conv(F.pad(x, self.pads) if self.pads else x)


class Sep(nn.Module):
    def __init__(self, c_in, c, k, stride):
        super().__init__()
        self.dw1, self.dw2 = Depthwise(c_in, k, stride), Depthwise(c, k, 1)
        self.conv1, self.conv2 = (nn.Conv2d(n, c, 1, bias=False) for n in (c_in, c))
        self.bn1, self.bn2 = nn.BatchNorm2d(c), nn.BatchNorm2d(c)

    def forward(self, x):
        x = self.bn1(self.conv1(self.dw1(F.relu(x))))
        return self.bn2(self.conv2(self.dw2(F.relu(x))))


class Conv(nn.Module):
    """1x1 and a normalization, of what is rectified or of what is not."""

    def __init__(self, c_in, c, stride=1, rectifies=True):
        super().__init__()
        self.rectifies = rectifies
        self.conv1, self.bn1 = nn.Conv2d(c_in, c, 1, stride, bias=False), nn.BatchNorm2d(c)

    def forward(self, x):
        return self.bn1(self.conv1(F.relu(x) if self.rectifies else x))


class Factorized(nn.Module):
    """Two halves at stride 2, the second shifted by a pixel."""

    def __init__(self, c_in, c):
        super().__init__()
        self.conv1, self.conv2 = (nn.Conv2d(c_in, n, 1, 2, bias=False) for n in (c // 2, c - c // 2))
        self.bn1 = nn.BatchNorm2d(c)

    def forward(self, x):
        x = F.relu(x)
        return self.bn1(torch.cat([self.conv1(x), self.conv2(F.pad(x, (0, 1, 0, 1))[:, :, 1:, 1:])], 1))


class Pool(nn.Module):
    """3x3, of which the padding does not count."""

    def __init__(self, kind, stride):
        super().__init__()
        self.kind, self.stride = kind, stride

    def forward(self, x):
        # Windows that reach over the end of an even side are SAME at stride 2.
        edge = dict(padding=1) if self.stride == 1 else dict(ceil_mode=True)
        if self.kind == "max":
            return F.max_pool2d(x, 3, self.stride, **edge)
        return F.avg_pool2d(x, 3, self.stride, count_include_pad=False, **edge)


def operation(name, c_in, c, stride):
    if name.startswith("sep"):
        return Sep(c_in, c, int(name[3]), stride)
    if name == "id":
        return nn.Identity() if (c_in, stride) == (c, 1) else Conv(c_in, c, stride)
    pool = Pool(name, stride)
    return pool if c_in == c else nn.Sequential(pool, Conv(c_in, c, rectifies=False))


class Cell(nn.Module):
    def __init__(self, kind, c_cur, c_prev, c, prev_is_larger):
        super().__init__()
        self.letter, self.sides, self.out = kind
        self.a = Conv(c_cur, c)
        self.is_first = c_prev is None
        # The first cell reads the raw stem.
        self.b, c_b = nn.Identity(), c_cur if self.is_first else c
        if not self.is_first and prev_is_larger:
            self.b = Factorized(c_prev, c)
        elif not self.is_first and c_prev != c:
            self.b = Conv(c_prev, c)
        widths = [c, c_b] + [c] * 5
        strides = [2 if self.letter == "r" and state < 2 else 1 for _, state in self.sides]
        self.ops = nn.ModuleList(operation(name, widths[state], c, stride)
                                 for (name, state), stride in zip(self.sides, strides))
        self.fit = Conv(c_b, c, rectifies=False) if c_b != c and 1 in self.out else nn.Identity()

    def forward(self, h, prev):
        states = [self.a(h), h if self.is_first else self.b(prev)]
        for block in range(0, 10, 2):
            left, right = (self.ops[side](states[self.sides[side][1]]) for side in (block, block + 1))
            states.append(left + right)
        states[1] = self.fit(states[1])
        return torch.cat([states[state] for state in self.out], 1)


class NasNet(nn.Module):
    """`--net cifar` of cellc at N@F: three stages of N normal cells, F channels at the end."""

    def __init__(self, scale):
        super().__init__()
        n, last = map(int, scale.split("@"))
        if last % 24:
            raise SystemExit(f"{scale}: the last width is 24 times that of the first cell")
        c = last // 24
        self.stem = nn.Sequential(nn.Conv2d(3, 3 * c, 3, padding=1, bias=False), nn.BatchNorm2d(3 * c))
        cells, c_cur, c_prev, prev_is_larger = [], 3 * c, None, False
        for stage in range(3):
            c *= 2 if stage else 1
            for kind in [REDUCTION] * (stage > 0) + [NORMAL] * n:
                cells.append(Cell(kind, c_cur, c_prev, c, prev_is_larger))
                prev_is_larger = kind is REDUCTION
                c_cur, c_prev = len(kind[2]) * c, c_cur
        self.cells, self.head = nn.ModuleList(cells), nn.Linear(c_cur, CLASSES)

    def forward(self, x):
        h, prev = self.stem(x), None
        for cell in self.cells:
            h, prev = cell(h, prev), h
        return self.head(F.relu(h).mean((2, 3)))

    def paths(self):
        """The parameters by their paths in cellc."""
        names = {"stem.0": "stem.conv1", "stem.1": "stem.bn1", "head": "head.dense1"}
        for index, cell in enumerate(self.cells):
            names[f"cells.{index}.fit"] = f"cells.{index}.out.b"
            for side, op in enumerate(cell.ops):
                path = f"cells.{index}.{cell.letter}{side // 2 + 1}.{('left', 'right')[side % 2]}"
                names[f"cells.{index}.ops.{side}" + (".1" if isinstance(op, nn.Sequential) else "")] = path
        for name, values in self.named_parameters():
            before = max((known for known in names if name.startswith(known + ".")), key=len, default="")
            yield names.get(before, "") + name[len(before):].replace(".conv.", "."), values


def check(device):
    """Logits and loss are those of the network wired by hand in tests/reference."""
    sys.path.insert(0, str(REFERENCE))
    import pieces
    expected = json.loads((REFERENCE / "nasnet_a.json").read_text())
    net = NasNet("1@48").double().to(device)
    with torch.no_grad():
        for path, values in net.paths():
            values.copy_(pieces.param(path, *values.shape))
    unknown = pieces.PARAMS.keys() ^ expected["gradients"].keys()
    assert not unknown, f"other parameters: {sorted(unknown)}"
    labels = torch.tensor([(3 * n) % CLASSES for n in range(pieces.BATCH)], device=device)
    logits = net(pieces.images(expected["images"]).to(device))
    loss = F.cross_entropy(logits, labels)
    loss.backward()
    worst = (logits.detach().cpu().flatten() - torch.tensor(expected["logits"])).abs().max().item()
    norms = [abs(values.grad.norm().item() / expected["gradients"][path][0] - 1) for path, values in net.paths()
             if expected["gradients"][path][0] > 1e-9]
    assert worst < 1e-9 and abs(loss.item() - expected["loss"]) < 1e-9 and max(norms) < 1e-6, (worst, max(norms))
    print(f"NASNet-A in PyTorch {torch.__version__} on {device} is that of tests/reference: logits within {worst:.0e}")


def measure(options):
    device = torch.device(options.device)
    on_card = device.type == "cuda"
    torch.manual_seed(0)
    # One switch for products, one for convolutions.
    torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = options.precision == "tf32"
    torch.backends.cudnn.benchmark = True
    layout = torch.channels_last if options.mode == CHANNELS_LAST else torch.contiguous_format
    net = NasNet(options.scale).to(device, memory_format=layout)
    images = torch.randn(options.batch, 3, 32, 32).contiguous(memory_format=layout)
    labels = torch.randint(0, CLASSES, (options.batch,))
    if on_card:
        images, labels = images.pin_memory(), labels.pin_memory()
    run = net
    if options.mode in (COMPILE, GRAPHS):
        run = torch.compile(net, mode="reduce-overhead" if options.mode == GRAPHS else None)
    optimizer = torch.optim.SGD(net.parameters(), 0.025, momentum=0.9, weight_decay=5e-4, fused=on_card or None)

    def mixed():
        return torch.autocast(device.type, torch.bfloat16, enabled=options.precision == "bf16")

    def step():
        if options.mode == GRAPHS and on_card:
            # The last step's gradients are in memory that the next replay writes.
            torch.compiler.cudagraph_mark_step_begin()
        x, y = (numbers.to(device, non_blocking=True) for numbers in (images, labels))
        optimizer.zero_grad(set_to_none=True)
        with mixed():
            loss = F.cross_entropy(run(x), y)
        loss.backward()
        nn.utils.clip_grad_norm_(net.parameters(), 5.0)
        optimizer.step()

    def infer():
        if options.mode == GRAPHS and on_card:
            torch.compiler.cudagraph_mark_step_begin()
        with mixed():
            return run(images.to(device, non_blocking=True)).cpu()

    def wait():
        if on_card:
            torch.cuda.synchronize(device)

    def milliseconds(f):
        for _ in range(options.warm_up):
            f()
        wait()
        if on_card:
            torch.cuda.reset_peak_memory_stats(device)
        rounds = []
        for _ in range(options.rounds):
            start = time.perf_counter()
            for _ in range(options.steps):
                f()
            wait()
            rounds.append((time.perf_counter() - start) * 1e3 / options.steps)
        peak = torch.cuda.max_memory_allocated(device) / 2**20 if on_card else None
        return round(statistics.median(rounds), 3), peak and round(peak, 1)

    train, train_mib = milliseconds(step)
    optimizer.zero_grad(set_to_none=True)
    net.eval()
    with torch.inference_mode():
        inference, infer_mib = milliseconds(infer)
    return dict(train_step_ms=train, infer_ms=inference, train_peak_mib=train_mib, infer_peak_mib=infer_mib,
                params=sum(values.numel() for values in net.parameters()))


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--device", default="cuda", help="cuda, cuda:1, or cpu to try this script without a card")
    parser.add_argument("--scale", default="2@768")
    parser.add_argument("--batch", type=int, default=32)
    parser.add_argument("--mode", choices=MODES, default=EAGER)
    parser.add_argument("--precision", choices=["f32", "tf32", "bf16"], default="f32",
                        help="tf32: factors of products and convolutions rounded; bf16: PyTorch's autocast")
    parser.add_argument("--steps", type=int, default=20, help="in a round")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--warm-up", type=int, default=5, help="steps before, of which the first ones compile")
    parser.add_argument("--check", action="store_true")
    options = parser.parse_args()
    if options.device.startswith("cuda") and not torch.cuda.is_available():
        built = f"built for CUDA {torch.version.cuda}, finds no card" if torch.version.cuda else "built without CUDA"
        print(f"PyTorch {torch.__version__} of {sys.executable} cannot use a card: {built}", file=sys.stderr)
        sys.exit(3)
    if options.check:
        return check(options.device)
    report = dict(program="pytorch " + torch.__version__, mode=options.mode, device=options.device,
                  precision=options.precision, scale=options.scale, batch=options.batch)
    try:
        report |= measure(options)
    except Exception as error:  # A mode that fails, for want of memory say, is one of the table's cells.
        report["failed"] = f"{type(error).__name__}: {error}".splitlines()[0][:200]
    print(json.dumps(report))


if __name__ == "__main__":
    main()
