"""Which memory a tree keeps."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from helpers import tiny
from specs.engines.local.nodes import ROOT
from specs.engines.local.onnx.backend import load_light
from specs.engines.local.tree import TokenTree


def bytes_held(rows: Any) -> int:
    """Bytes of all memory that these output rows keep alive."""
    owners: dict[int, int] = {}
    for row in rows:
        if isinstance(row, np.ndarray):
            while row.base is not None:
                row = row.base
            owners[id(row)] = row.nbytes
        else:
            storage = row.untyped_storage()
            owners[storage.data_ptr()] = storage.nbytes()
    return sum(owners.values())


@pytest.fixture(params=["light", "torch"])
def backend(request, tmp_path, device):
    folder = tiny.write_trio(tmp_path)["target"]
    if request.param == "light":
        return load_light(folder)
    pytest.importorskip("torch")
    from specs.engines.local.torch.loading import load_hf

    return load_hf(str(folder), "lm", device=device, dtype="fp32")


@pytest.mark.parametrize("speculating", [False, True])
def test_kept_output_rows_do_not_keep_others_alive(backend, speculating):
    """One of 8 candidates scored in a pass continues. At 152,064 logits a row, the others would be 146 MB a step."""
    rng = np.random.default_rng(0)
    paths = rng.integers(3, backend.vocabulary, (8, 12)).tolist()
    tree = TokenTree(backend, [1, 2])
    if speculating:
        tree.rebase([1, 2], logits=True)
        tree.compute_trunk()
        tree.compute_paths([ROOT] * 8, paths)
        before = tree.logits(nodes := tree.walk(ROOT, paths[3]))
        tree.prune(nodes)
    else:
        tails = tree.rebase([1, 2], logits=True) * 8
        rows, row_of = tree.prefix_logits(tails, paths)
        before = rows[row_of[3][1:]]
        tree.rebase([1, 2, *paths[3][:4]], [1, 2, *paths[3]], logits=True)
    kept = tree._kept.rows
    assert 0 < len(kept) <= 13
    assert bytes_held(kept.values()) == 4 * backend.width * len(kept)
    walked = tree.walk(ROOT, paths[3] if speculating else paths[3][4:])
    found = backend.logits_ops.to_numpy(tree.logits(walked))
    np.testing.assert_array_equal(found, backend.logits_ops.to_numpy(before)[-len(walked) :])
