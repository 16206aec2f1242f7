#!/usr/bin/env python3
"""Writes, beside this script, the files that `tests/numpy.rs` expects numpy to write (made with numpy 2.4)."""

from pathlib import Path

import numpy as np

here = Path(__file__).resolve().parent
grid = np.arange(24).reshape(2, 3, 4)
for name, dtype in [("f32", "<f4"), ("f64", "<f8"), ("i32", "<i4"), ("i64", "<i8"), ("u8", "|u1"), ("u32", "<u4")]:
    np.save(here / f"{name}.npy", grid.astype(dtype))
np.save(here / "bool.npy", grid % 3 == 0)
np.save(here / "column_major.npy", np.asfortranarray(grid.astype("<f4")))
np.save(here / "big_endian.npy", np.asfortranarray(grid.astype(">f8")))
np.save(here / "rank0.npy", np.float32(-0.0))
np.save(here / "empty.npy", np.zeros((3, 0, 2), "<i4"))
np.save(here / "record.npy", np.zeros(2, [("a", "<f4"), ("b", "<i4", (2, 2))]))
np.save(here / "f16.npy", np.zeros(2, "<f2"))
np.save(here / "object.npy", np.array([None, 1]), allow_pickle=True)
arrays = {"w/x": np.arange(6, dtype="<f4").reshape(2, 3), "b": np.array([True, False])}
np.savez(here / "stored.npz", **arrays)
np.savez_compressed(here / "deflated.npz", **arrays)
