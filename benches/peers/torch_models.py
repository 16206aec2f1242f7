"""W1 to W8 and W14 to W17 in PyTorch. Each builder returns one train step: forward, loss, backward, update."""
import torch
import torch.nn as nn
import torch.nn.functional as F

CHANNELS_LAST = False
# So small that the one fixed batch is never learned: gradients of a converged model are
# denormal numbers, which slow a peer that does not flush them to zero.
LEARNING_RATE = 1e-9


def trainer(loss_fn, params, adam=False, compiled=False, **opt):
    make = torch.optim.Adam if adam else torch.optim.SGD
    params = list(params)
    optimizer = make(params, lr=LEARNING_RATE, fused=True, **opt)  # the fused CPU kernels: eager's best
    if compiled:
        loss_fn = torch.compile(loss_fn)

    def step():
        optimizer.zero_grad(set_to_none=True)
        loss = loss_fn()
        loss.backward()
        optimizer.step()
        return loss

    step.parameters = sum(p.numel() for p in params)
    return step


def classify(model, x, classes, compiled, **opt):
    if CHANNELS_LAST and x.dim() == 4:
        model, x = model.to(memory_format=torch.channels_last), x.to(memory_format=torch.channels_last)
    y = torch.randint(classes, (x.shape[0],))
    return trainer(lambda: F.cross_entropy(model(x), y), model.parameters(), compiled=compiled, **opt)


def mlp(compiled, batch):
    model = nn.Sequential(nn.Linear(784, 512), nn.ReLU(), nn.Linear(512, 256), nn.ReLU(), nn.Linear(256, 10))
    return classify(model, torch.randn(batch, 784), 10, compiled, momentum=0.9)


def lenet_model():
    """Pooling before ReLU: they commute, and so there is a quarter left to do."""
    return nn.Sequential(
        nn.Conv2d(1, 6, 5, padding=2), nn.MaxPool2d(2), nn.ReLU(),
        nn.Conv2d(6, 16, 5), nn.MaxPool2d(2), nn.ReLU(), nn.Flatten(),
        nn.Linear(400, 120), nn.ReLU(), nn.Linear(120, 84), nn.ReLU(), nn.Linear(84, 10))


def lenet(compiled):
    return classify(lenet_model(), torch.randn(64, 1, 28, 28), 10, compiled, momentum=0.9)


class Residual(nn.Module):
    """Basic block, or with bottleneck=True the three-convolution block of ResNet-50."""

    def __init__(self, cin, width, stride, bottleneck=False):
        super().__init__()
        cout = width * (4 if bottleneck else 1)
        shape = ([(cin, width, 1, 1), (width, width, 3, stride), (width, cout, 1, 1)] if bottleneck
                 else [(cin, width, 3, stride), (width, cout, 3, 1)])
        layers = []
        for i, o, k, s in shape:
            layers += [nn.Conv2d(i, o, k, s, k // 2, bias=False), nn.BatchNorm2d(o), nn.ReLU()]
        self.body = nn.Sequential(*layers[:-1])
        self.skip = (nn.Identity() if stride == 1 and cin == cout else
                     nn.Sequential(nn.Conv2d(cin, cout, 1, stride, bias=False), nn.BatchNorm2d(cout)))

    def forward(self, x):
        return F.relu(self.body(x) + self.skip(x))


def resnet_model(stem, depths, bottleneck, classes):
    layers, cin = list(stem), 64
    for stage, depth in enumerate(depths):
        for i in range(depth):
            width = 64 << stage
            layers.append(Residual(cin, width, 2 if stage and i == 0 else 1, bottleneck))
            cin = width * (4 if bottleneck else 1)
    return nn.Sequential(*layers, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(cin, classes))


def resnet18_cifar(compiled):
    stem = [nn.Conv2d(3, 64, 3, 1, 1, bias=False), nn.BatchNorm2d(64), nn.ReLU()]
    model = resnet_model(stem, [2, 2, 2, 2], False, 10)
    return classify(model, torch.randn(16, 3, 32, 32), 10, compiled, momentum=0.9, weight_decay=5e-4)


def resnet50_model():
    stem = [nn.Conv2d(3, 64, 7, 2, 3, bias=False), nn.BatchNorm2d(64), nn.ReLU(), nn.MaxPool2d(3, 2, 1)]
    return resnet_model(stem, [3, 4, 6, 3], True, 1000)


class SequenceClassifier(nn.Module):
    def __init__(self, kind):
        super().__init__()
        self.recurrent, self.head = kind(128, 256, batch_first=True), nn.Linear(256, 10)

    def forward(self, x):
        return self.head(self.recurrent(x)[0][:, -1])


def recurrent(compiled, kind):
    return classify(SequenceClassifier(kind), torch.randn(32, 64, 128), 10, compiled, adam=True)


def vae(compiled):
    enc, stats, dec, out = nn.Linear(784, 400), nn.Linear(400, 40), nn.Linear(20, 400), nn.Linear(400, 784)
    x = torch.rand(128, 784)

    def loss():
        mu, logvar = stats(torch.tanh(enc(x))).chunk(2, 1)
        z = mu + torch.randn_like(mu) * torch.exp(0.5 * logvar)
        kl = -0.5 * torch.sum(1 + logvar - mu * mu - logvar.exp())
        bce = F.binary_cross_entropy_with_logits(out(torch.tanh(dec(z))), x, reduction="sum")
        return (bce + kl) / 128

    params = [p for m in (enc, stats, dec, out) for p in m.parameters()]
    return trainer(loss, params, adam=True, compiled=compiled)


def deep_tanh(compiled):
    model = nn.Sequential(*[m for _ in range(10) for m in (nn.Linear(500, 500), nn.Tanh())])
    x, y = torch.randn(128, 500), torch.randn(128, 500)
    return trainer(lambda: F.mse_loss(model(x), y), model.parameters(), compiled=compiled)


def contractive(compiled, analytic):
    """The penalty ||dh/dx||^2 by automatic differentiation, or with the closed form of sigmoid."""
    enc, dec, x = nn.Linear(784, 256), nn.Linear(256, 784), torch.rand(128, 784)

    def encode(x):
        return torch.sigmoid(F.linear(x, enc.weight, enc.bias))

    def loss():
        h = encode(x)
        if analytic:
            penalty = ((h * (1 - h)) ** 2 @ (enc.weight ** 2).sum(1)).sum()
        else:
            penalty = (torch.func.vmap(torch.func.jacrev(encode))(x) ** 2).sum()
        return F.mse_loss(torch.sigmoid(dec(h)), x) + 1e-4 * penalty / 128

    return trainer(loss, [*enc.parameters(), *dec.parameters()], compiled=compiled)


class Block(nn.Module):
    def __init__(self, d, heads):
        super().__init__()
        self.heads, self.ln1, self.ln2 = heads, nn.LayerNorm(d), nn.LayerNorm(d)
        self.qkv, self.proj = nn.Linear(d, 3 * d), nn.Linear(d, d)
        self.up, self.down = nn.Linear(d, 4 * d), nn.Linear(4 * d, d)

    def forward(self, x):
        b, t, d = x.shape
        q, k, v = self.qkv(self.ln1(x)).view(b, t, 3, self.heads, -1).permute(2, 0, 3, 1, 4)
        a = F.scaled_dot_product_attention(q, k, v, is_causal=True)
        x = x + self.proj(a.transpose(1, 2).reshape(b, t, d))
        return x + self.down(F.gelu(self.up(self.ln2(x)), approximate="tanh"))


class GPT(nn.Module):
    def __init__(self, vocab=256, d=256, seq=128, depth=4, heads=4):
        super().__init__()
        self.tok, self.pos = nn.Embedding(vocab, d), nn.Parameter(torch.zeros(seq, d))
        self.blocks = nn.Sequential(*[Block(d, heads) for _ in range(depth)])
        self.ln, self.head = nn.LayerNorm(d), nn.Linear(d, vocab)

    def forward(self, ids):
        return self.head(self.ln(self.blocks(self.tok(ids) + self.pos)))


def gpt(compiled):
    model, ids, y = GPT(), torch.randint(256, (8, 128)), torch.randint(256, (8 * 128,))
    return trainer(lambda: F.cross_entropy(model(ids).flatten(0, 1), y), model.parameters(), adam=True, compiled=compiled)


class PreActivation(nn.Module):
    """A block of a wide residual network: batch norm and ReLU before each convolution."""

    def __init__(self, cin, cout, stride):
        super().__init__()
        self.norm = nn.BatchNorm2d(cin)
        self.body = nn.Sequential(nn.Conv2d(cin, cout, 3, stride, 1, bias=False), nn.BatchNorm2d(cout), nn.ReLU(),
                                  nn.Conv2d(cout, cout, 3, 1, 1, bias=False))
        self.skip = nn.Conv2d(cin, cout, 1, stride, bias=False) if stride > 1 or cin != cout else None

    def forward(self, x):
        active = F.relu(self.norm(x))
        return self.body(active) + (self.skip(active) if self.skip else x)


def wide_resnet(compiled):
    layers, cin = [nn.Conv2d(3, 16, 3, 1, 1, bias=False)], 16
    for cout, stride in ((64, 1), (64, 1), (128, 2), (128, 1), (256, 2), (256, 1)):
        layers.append(PreActivation(cin, cout, stride))
        cin = cout
    model = nn.Sequential(*layers, nn.BatchNorm2d(cin), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(cin, 10))
    return classify(model, torch.randn(16, 3, 32, 32), 10, compiled, momentum=0.9, weight_decay=5e-4)


def conv_norm(cin, cout, k, stride=1, pad=0):
    return nn.Sequential(nn.Conv2d(cin, cout, k, stride, pad, bias=False), nn.BatchNorm2d(cout, eps=1e-3), nn.ReLU())


class Inception(nn.Module):
    def __init__(self, cin, single, reduce3, out3, reduce5, out5, pooled):
        super().__init__()
        self.branches = nn.ModuleList([
            conv_norm(cin, single, 1),
            nn.Sequential(conv_norm(cin, reduce3, 1), conv_norm(reduce3, out3, 3, 1, 1)),
            nn.Sequential(conv_norm(cin, reduce5, 1), conv_norm(reduce5, out5, 3, 1, 1)),
            nn.Sequential(nn.MaxPool2d(3, 1, 1), conv_norm(cin, pooled, 1))])

    def forward(self, x):
        return torch.cat([branch(x) for branch in self.branches], 1)


# Features of the branches, and None for a pooling between modules.
INCEPTIONS = [(64, 96, 128, 16, 32, 32), (128, 128, 192, 32, 96, 64), None,
              (192, 96, 208, 16, 48, 64), (160, 112, 224, 24, 64, 64), (128, 128, 256, 24, 64, 64),
              (112, 144, 288, 32, 64, 64), (256, 160, 320, 32, 128, 128), None,
              (256, 160, 320, 32, 128, 128), (384, 192, 384, 48, 128, 128)]


def googlenet(compiled):
    def pool(size=3):
        return nn.MaxPool2d(size, 2, ceil_mode=True)

    layers, cin = [conv_norm(3, 64, 7, 2, 3), pool(), conv_norm(64, 64, 1), conv_norm(64, 192, 3, 1, 1), pool()], 192
    pools = iter((pool(), pool(2)))
    for widths in INCEPTIONS:
        layers.append(Inception(cin, *widths) if widths else next(pools))
        cin = widths[0] + widths[2] + widths[4] + widths[5] if widths else cin
    model = nn.Sequential(*layers, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Dropout(0.2), nn.Linear(cin, 10))
    return classify(model, torch.randn(16, 3, 96, 96), 10, compiled, momentum=0.9, weight_decay=5e-4)


def conv_autoencoder_3d(compiled):
    model = nn.Sequential(
        nn.Conv3d(1, 16, 3, 2, 1), nn.ReLU(), nn.Conv3d(16, 8, 3, 2, 1), nn.ReLU(),
        nn.ConvTranspose3d(8, 16, 3, 2, 1, 1), nn.ReLU(), nn.ConvTranspose3d(16, 1, 3, 2, 1, 1))
    x = torch.rand(16, 1, 16, 16, 16)
    if CHANNELS_LAST:
        model, x = model.to(memory_format=torch.channels_last_3d), x.to(memory_format=torch.channels_last_3d)
    loss = lambda: F.binary_cross_entropy_with_logits(model(x), x)
    return trainer(loss, model.parameters(), adam=True, compiled=compiled)


WORKLOADS = {
    "W1-b1": lambda c: mlp(c, 1), "W1-b16": lambda c: mlp(c, 16), "W1-b128": lambda c: mlp(c, 128),
    "W2": lenet, "W3": resnet18_cifar, "W4": lambda c: recurrent(c, nn.LSTM), "W5": vae, "W6": deep_tanh,
    "W7-autodiff": lambda c: contractive(c, False), "W7-closed": lambda c: contractive(c, True), "W8": gpt,
    "W14": wide_resnet, "W15": googlenet, "W16": conv_autoencoder_3d, "W17": lambda c: recurrent(c, nn.GRU),
}
