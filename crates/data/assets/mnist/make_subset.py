#!/usr/bin/env python3
"""Makes the bundled subset of MNIST from the four original files.

    python3 make_subset.py DIRECTORY

DIRECTORY holds {train,t10k}-{images-idx3,labels-idx1}-ubyte.gz. The subset is stratified: 1,000 training and 200
test digits of each class, chosen and shuffled from a fixed seed, and written beside this script as gzip IDX
without time stamps.
"""

import gzip
import io
import random
import struct
import sys
from pathlib import Path

SEED = 20240229
PIXELS = 28 * 28


def read(path, magic):
    data = gzip.decompress(path.read_bytes())
    got, count = struct.unpack(">II", data[:8])
    if got != magic:
        sys.exit(f"{path}: expected magic number {magic}, got {got}")
    body = data[16:] if magic == 2051 else data[8:]
    if len(body) != count * (PIXELS if magic == 2051 else 1):
        sys.exit(f"{path}: {count} items do not make {len(body)} bytes")
    return body


def write(path, data):
    file = io.BytesIO()
    with gzip.GzipFile(filename="", mode="wb", compresslevel=9, fileobj=file, mtime=0) as zipped:
        zipped.write(data)
    path.write_bytes(file.getvalue())
    print(f"{path.name}: {len(file.getvalue())} bytes")


def main():
    if len(sys.argv) != 2:
        sys.exit(__doc__.strip())
    source, target = Path(sys.argv[1]), Path(__file__).resolve().parent
    for part, per_class in ("train", 1000), ("t10k", 200):
        images = read(source / f"{part}-images-idx3-ubyte.gz", 2051)
        labels = read(source / f"{part}-labels-idx1-ubyte.gz", 2049)
        generator = random.Random(SEED)
        chosen = []
        for digit in range(10):
            chosen += generator.sample([i for i, label in enumerate(labels) if label == digit], per_class)
        generator.shuffle(chosen)
        pixels = b"".join(images[i * PIXELS : (i + 1) * PIXELS] for i in chosen)
        write(target / f"{part}-images-idx3-ubyte.gz", struct.pack(">IIII", 2051, len(chosen), 28, 28) + pixels)
        write(target / f"{part}-labels-idx1-ubyte.gz", struct.pack(">II", 2049, len(chosen)) + bytes(labels[i] for i in chosen))


main()
