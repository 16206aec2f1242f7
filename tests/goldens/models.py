"""Writes models/*.safetensors and models.npz: models as PyTorch users write them, with torchvision's names of modules, in small.

Of each model: its weights and running statistics as `state_dict` has them; inputs; the logits of a query (`eval()`); and of a
training step (`train()`) the logits, the loss, the gradient of each parameter and the running statistics afterwards. Computed in
f64 from weights rounded to f32.

Run: pip install -r requirements.txt && python models.py
"""

from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from safetensors.torch import save_file
from torch import nn

assert torch.__version__.startswith("2.15.0")
torch.manual_seed(0)
HERE = Path(__file__).parent


class LeNet5(nn.Module):
    def __init__(self):
        super().__init__()
        self.conv1 = nn.Conv2d(1, 6, 5, padding=2)
        self.conv2 = nn.Conv2d(6, 16, 5)
        self.fc1, self.fc2, self.fc3 = nn.Linear(400, 120), nn.Linear(120, 84), nn.Linear(84, 10)

    def forward(self, x):
        x = F.max_pool2d(F.relu(self.conv1(x)), 2)
        x = F.max_pool2d(F.relu(self.conv2(x)), 2).flatten(1)
        return self.fc3(F.relu(self.fc2(F.relu(self.fc1(x)))))


class BasicBlock(nn.Module):
    def __init__(self, channels, features, stride):
        super().__init__()
        self.conv1 = nn.Conv2d(channels, features, 3, stride, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(features)
        self.conv2 = nn.Conv2d(features, features, 3, 1, 1, bias=False)
        self.bn2 = nn.BatchNorm2d(features)
        self.downsample = None
        if stride > 1 or channels != features:
            shortcut = nn.Conv2d(channels, features, 1, stride, bias=False)
            self.downsample = nn.Sequential(shortcut, nn.BatchNorm2d(features))

    def forward(self, x):
        shortcut = x if self.downsample is None else self.downsample(x)
        x = F.relu(self.bn1(self.conv1(x)))
        return F.relu(shortcut + self.bn2(self.conv2(x)))


class ResNet18(nn.Module):
    def __init__(self, features, classes):
        super().__init__()
        self.conv1 = nn.Conv2d(3, features[0], 7, 2, 3, bias=False)
        self.bn1 = nn.BatchNorm2d(features[0])
        self.maxpool = nn.MaxPool2d(3, 2, 1)
        before = [features[0]] + features
        for i in range(4):
            first = BasicBlock(before[i], features[i], 2 if i else 1)
            setattr(self, f"layer{i + 1}", nn.Sequential(first, BasicBlock(features[i], features[i], 1)))
        self.fc = nn.Linear(features[3], classes)

    def forward(self, x):
        x = self.maxpool(F.relu(self.bn1(self.conv1(x))))
        x = self.layer4(self.layer3(self.layer2(self.layer1(x))))
        return self.fc(x.mean((2, 3)))


class Conv(nn.Module):
    def __init__(self, channels, features, **options):
        super().__init__()
        self.conv = nn.Conv2d(channels, features, bias=False, **options)
        self.bn = nn.BatchNorm2d(features, eps=1e-3)

    def forward(self, x):
        return F.relu(self.bn(self.conv(x)))


class Inception(nn.Module):
    def __init__(self, channels, single, reduce3, out3, reduce5, out5, pooled):
        super().__init__()
        self.branch1 = Conv(channels, single, kernel_size=1)
        pair = lambda reduce, out: nn.Sequential(
            Conv(channels, reduce, kernel_size=1), Conv(reduce, out, kernel_size=3, padding=1)
        )
        self.branch2, self.branch3 = pair(reduce3, out3), pair(reduce5, out5)
        self.branch4 = nn.Sequential(nn.MaxPool2d(3, 1, 1), Conv(channels, pooled, kernel_size=1))

    def forward(self, x):
        return torch.cat([self.branch1(x), self.branch2(x), self.branch3(x), self.branch4(x)], 1)


class Head(nn.Module):
    def __init__(self, channels, features, units, classes):
        super().__init__()
        self.conv = Conv(channels, features, kernel_size=1)
        self.fc1, self.fc2 = nn.Linear(16 * features, units), nn.Linear(units, classes)

    def forward(self, x):
        x = self.conv(F.adaptive_avg_pool2d(x, 4)).flatten(1)
        return self.fc2(F.relu(self.fc1(x)))


class GoogLeNet(nn.Module):
    """torchvision's without dropout."""

    def __init__(self, width, classes):
        super().__init__()
        # A number that 4 divides, as they all are, stays one.
        scaled = lambda n: max(int(n * width / 4 + 0.5) * 4, 4)
        self.conv1 = Conv(3, scaled(64), kernel_size=7, stride=2, padding=3)
        self.conv2 = Conv(scaled(64), scaled(64), kernel_size=1)
        self.conv3 = Conv(scaled(64), scaled(192), kernel_size=3, padding=1)
        modules = {
            "3a": [64, 96, 128, 16, 32, 32],
            "3b": [128, 128, 192, 32, 96, 64],
            "4a": [192, 96, 208, 16, 48, 64],
            "4b": [160, 112, 224, 24, 64, 64],
            "4c": [128, 128, 256, 24, 64, 64],
            "4d": [112, 144, 288, 32, 64, 64],
            "4e": [256, 160, 320, 32, 128, 128],
            "5a": [256, 160, 320, 32, 128, 128],
            "5b": [384, 192, 384, 48, 128, 128],
        }
        channels = scaled(192)
        heads = {"4a": "aux1", "4d": "aux2"}
        for name, widths in modules.items():
            single, reduce3, out3, reduce5, out5, pooled = map(scaled, widths)
            setattr(self, f"inception{name}", Inception(channels, single, reduce3, out3, reduce5, out5, pooled))
            channels = single + out3 + out5 + pooled
            if name in heads:
                setattr(self, heads[name], Head(channels, scaled(128), scaled(1024), classes))
        self.fc = nn.Linear(channels, classes)

    def forward(self, x):
        pool = lambda x, k: F.max_pool2d(x, k, 2, ceil_mode=True)
        x = pool(self.conv3(self.conv2(pool(self.conv1(x), 3))), 3)
        x = pool(self.inception3b(self.inception3a(x)), 3)
        a = self.inception4a(x)
        d = self.inception4d(self.inception4c(self.inception4b(a)))
        x = pool(self.inception4e(d), 2)
        x = self.inception5b(self.inception5a(x))
        logits = self.fc(x.mean((2, 3)))
        return (logits, self.aux1(a), self.aux2(d)) if self.training else logits


class Recurrent(nn.Module):
    def __init__(self):
        super().__init__()
        self.recurrent, self.head = nn.LSTM(5, 8, batch_first=True), nn.Linear(8, 3)

    def forward(self, x):
        return self.head(self.recurrent(x)[1][0][-1])


class Block(nn.Module):
    def __init__(self, width, heads):
        super().__init__()
        self.norm1, self.norm2 = nn.LayerNorm(width), nn.LayerNorm(width)
        self.attention = nn.MultiheadAttention(width, heads, batch_first=True)
        self.up, self.down = nn.Linear(width, 4 * width), nn.Linear(4 * width, width)

    def forward(self, x):
        n = x.shape[1]
        mask = torch.ones(n, n, dtype=torch.bool).triu(1)
        h = self.norm1(x)
        x = x + self.attention(h, h, h, attn_mask=mask, need_weights=False)[0]
        return x + self.down(F.gelu(self.up(self.norm2(x)), approximate="tanh"))


class Gpt(nn.Module):
    def __init__(self, vocabulary, context, width, depth, heads):
        super().__init__()
        self.tokens, self.positions = nn.Embedding(vocabulary, width), nn.Embedding(context, width)
        for i in range(depth):
            setattr(self, f"block{i}", Block(width, heads))
        self.depth, self.norm, self.head = depth, nn.LayerNorm(width), nn.Linear(width, vocabulary)

    def forward(self, tokens):
        x = self.tokens(tokens) + self.positions.weight[: tokens.shape[1]]
        for i in range(self.depth):
            x = getattr(self, f"block{i}")(x)
        return self.head(self.norm(x))


def loss_of(outputs, label):
    if isinstance(outputs, tuple):
        main, *heads = [F.cross_entropy(o, label) for o in outputs]
        return main + 0.3 * sum(heads)
    return F.cross_entropy(outputs.flatten(0, -2), label.flatten())


def write(name, model, x, label, into):
    with torch.no_grad():
        for key, value in model.state_dict().items():
            if "bn" in key or "downsample.1" in key or "norm" in key:
                # As after some training, not 0 and 1.
                if key.endswith("weight") or key.endswith("running_var"):
                    value.uniform_(0.5, 1.5)
                elif key.endswith("bias") or key.endswith("running_mean"):
                    value.uniform_(-0.2, 0.2)
    save_file(model.state_dict(), HERE / "models" / f"{name}.safetensors")
    model = model.double()
    to = lambda t: t.double() if t.is_floating_point() else t
    put = lambda key, t: into.__setitem__(f"{name}/{key}", t.detach().float().numpy() if t.is_floating_point() else t.int().numpy())
    put("x", x)
    put("label", label)
    model.eval()
    put("query", model(to(x)))
    model.train()
    outputs = model(to(x))
    loss = loss_of(outputs, label)
    loss.backward()
    put("logits", outputs[0] if isinstance(outputs, tuple) else outputs)
    put("loss", loss)
    for key, parameter in model.named_parameters():
        put(f"gradient/{key}", parameter.grad)
    for key, buffer in model.named_buffers():
        if "running" in key:
            put(f"after/{key}", buffer)


def main():
    (HERE / "models").mkdir(exist_ok=True)
    goldens = {}
    labels = lambda n, classes: torch.randint(classes, (n,))
    write("lenet5", LeNet5(), torch.rand(4, 1, 28, 28), labels(4, 10), goldens)
    write("resnet18", ResNet18([4, 8, 16, 32], 10), torch.randn(4, 3, 37, 37), labels(4, 10), goldens)
    write("googlenet", GoogLeNet(1 / 16, 7), torch.randn(3, 3, 67, 67), labels(3, 7), goldens)
    write("lstm", Recurrent(), torch.randn(3, 6, 5), labels(3, 3), goldens)
    write("gpt", Gpt(11, 9, 16, 2, 4), torch.randint(11, (3, 7)), torch.randint(11, (3, 7)), goldens)
    np.savez_compressed(HERE / "models.npz", **goldens)


main()
