#!/usr/bin/env python3
"""DARTS V2 for CIFAR-10 in PyTorch, the modules of the released `model.py` without auxiliary head and drop path: a
peer for against_pytorch.py. Prints one line of JSON with the median milliseconds of a training step and of an
inference, and the peak of memory.

    pip install torch && python3 tests/bench/darts_v2.py --scale 8@256 --batch 64 --mode channels_last

The scale is that of `cellc`: layers @ channels of the last map, 16 times those of the first cell. The number of
parameters is printed too: 8@256 has 246,106, as `cells/darts_v2.cell` claims.
"""
import argparse, json, resource, statistics, time
import torch
import torch.nn as nn
import torch.nn.functional as F

# (operation, state) in pairs; state 0 is the earlier input, 1 the most recent one.
NORMAL = [("sep", 0), ("sep", 1), ("sep", 0), ("sep", 1), ("sep", 1), ("skip", 0), ("skip", 0), ("dil", 2)]
REDUCTION = [("max", 0), ("max", 1), ("skip", 2), ("max", 1), ("max", 0), ("skip", 2), ("skip", 2), ("max", 1)]


def relu_conv_bn(c_in, c):
    return nn.Sequential(nn.ReLU(), nn.Conv2d(c_in, c, 1, bias=False), nn.BatchNorm2d(c))


def depthwise(c, stride, dilation=1):
    pad = dilation
    return nn.Sequential(nn.ReLU(), nn.Conv2d(c, c, 3, stride, pad, dilation, groups=c, bias=False),
                         nn.Conv2d(c, c, 1, bias=False), nn.BatchNorm2d(c))


class FactorizedReduce(nn.Module):
    def __init__(self, c_in, c):
        super().__init__()
        self.a = nn.Conv2d(c_in, c // 2, 1, 2, bias=False)
        self.b = nn.Conv2d(c_in, c - c // 2, 1, 2, bias=False)
        self.bn = nn.BatchNorm2d(c)

    def forward(self, x):
        x = F.relu(x)
        return self.bn(torch.cat([self.a(x), self.b(x[:, :, 1:, 1:])], 1))


class Cell(nn.Module):
    def __init__(self, blocks, c_prev, c_cur, c, reduces, prev_reduces):
        super().__init__()
        self.blocks = blocks
        self.prev = FactorizedReduce(c_prev, c) if prev_reduces else relu_conv_bn(c_prev, c)
        self.cur = relu_conv_bn(c_cur, c)
        make = {"sep": lambda s: nn.Sequential(depthwise(c, s), depthwise(c, 1)), "dil": lambda s: depthwise(c, s, 2),
                "max": lambda s: nn.MaxPool2d(3, s, 1), "skip": lambda s: nn.Identity()}
        self.ops = nn.ModuleList(make[op](2 if reduces and state < 2 else 1) for op, state in blocks)

    def forward(self, prev, cur):
        states = [self.prev(prev), self.cur(cur)]
        for i in range(0, 8, 2):
            (_, a), (_, b) = self.blocks[i], self.blocks[i + 1]
            states.append(self.ops[i](states[a]) + self.ops[i + 1](states[b]))
        return torch.cat(states[2:], 1)


class Darts(nn.Module):
    def __init__(self, layers, last, classes=10):
        super().__init__()
        c = last // 16
        self.stem = nn.Sequential(nn.Conv2d(3, 3 * c, 3, padding=1, bias=False), nn.BatchNorm2d(3 * c))
        cells, c_prev, c_cur, prev_reduces = [], 3 * c, 3 * c, False
        for layer in range(layers):
            reduces = layer in (layers // 3, 2 * layers // 3)
            c *= 2 if reduces else 1
            cells.append(Cell(REDUCTION if reduces else NORMAL, c_prev, c_cur, c, reduces, prev_reduces))
            c_prev, c_cur, prev_reduces = c_cur, 4 * c, reduces
        self.cells, self.fc = nn.ModuleList(cells), nn.Linear(c_cur, classes)

    def forward(self, x):
        prev = cur = self.stem(x)
        for cell in self.cells:
            prev, cur = cur, cell(prev, cur)
        return self.fc(cur.mean((2, 3)))


parser = argparse.ArgumentParser()
parser.add_argument("--scale", default="8@256")
parser.add_argument("--batch", type=int, default=64)
parser.add_argument("--threads", type=int, default=2)
parser.add_argument("--steps", type=int, default=10)
parser.add_argument("--mode", choices=["eager", "channels_last"], default="channels_last")
options = parser.parse_args()

torch.set_num_threads(options.threads)
torch.manual_seed(0)
net = Darts(*map(int, options.scale.split("@")))
x, y = torch.randn(options.batch, 3, 32, 32), torch.randint(0, 10, (options.batch,))
if options.mode == "channels_last":
    net, x = net.to(memory_format=torch.channels_last), x.contiguous(memory_format=torch.channels_last)
optimizer = torch.optim.SGD(net.parameters(), 0.025, momentum=0.9, weight_decay=5e-4)


def step():
    optimizer.zero_grad(set_to_none=True)
    F.cross_entropy(net(x), y).backward()
    nn.utils.clip_grad_norm_(net.parameters(), 5.0)
    optimizer.step()


def median_ms(f):
    times = []
    for _ in range(options.steps + 2):
        start = time.perf_counter()
        f()
        times.append((time.perf_counter() - start) * 1e3)
    return round(statistics.median(times[2:]), 1)


train = median_ms(step)
peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024
net.eval()
with torch.inference_mode():
    infer = median_ms(lambda: net(x))
print(json.dumps(dict(peer="pytorch " + torch.__version__, mode=options.mode, scale=options.scale, batch=options.batch,
                      params=sum(p.numel() for p in net.parameters()), train_step_ms=train, infer_ms=infer,
                      peak_rss_mib=peak)))
