"""The net for scoring alone gives the scores of the net that was trained."""

import dataclasses
import threading
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from nets import CATEGORIES, SMALL, rows, small_net

from fraud_ml import _native_net
from fraud_ml.errors import ArtifactError
from fraud_ml.fast_net import _MANY, FastNet
from fraud_ml.model import FraudNet, ModelConfig
from fraud_ml.net_tables import NetTables

X = rows(500, seed=3)
ENGINES = pytest.mark.parametrize("native", [True, False], ids=["native", "numpy"])


def scored(net: FraudNet, x: np.ndarray) -> np.ndarray:
    return net.score(torch.from_numpy(x)).numpy()


@pytest.fixture(scope="module")
def net() -> FraudNet:
    return small_net()


@ENGINES
@pytest.mark.parametrize(
    "changed",
    [
        {},
        {"width": 64, "n_layers": 3, "n_groups": 4, "n_members": 2, "embedding": 4},
        {"width": 20, "n_layers": 1, "n_members": 1},
        {"n_pieces": 1, "n_groups": 3, "width": 100},
    ],
)
def test_scores_are_those_of_the_net(changed: dict[str, int], *, native: bool) -> None:
    net = small_net(config=dataclasses.replace(SMALL, **changed))
    fast = FastNet(net.tables(), native=native)
    np.testing.assert_allclose(fast.score(X), scored(net, X), atol=1e-6)
    assert np.ptp(fast.score(X)) > 0.1


@ENGINES
@settings(deadline=None)
@given(data=st.data())
def test_so_they_are_at_edges_beyond_them_and_where_values_are_missing(
    net: FraudNet, data: st.DataObject, *, native: bool
) -> None:
    tables = net.tables()
    edges = sorted({float(it) for it in tables.edges.ravel() if np.isfinite(it)})
    near = [np.nextafter(np.float32(it), np.float32(to)) for it in edges for to in (-1e9, 1e9)]
    most = 2.0**100
    value = st.sampled_from([*edges, *map(float, near), np.nan]) | st.floats(
        width=32, allow_infinity=False, min_value=-most, max_value=most
    )
    code = st.sampled_from([*map(float, range(12)), np.nan])
    row = st.tuples(*(code if it else value for it in CATEGORIES))
    x = np.array(data.draw(st.lists(row, min_size=1, max_size=9)), dtype=np.float32)
    np.testing.assert_allclose(FastNet(tables, native=native).score(x), scored(net, x), atol=2e-6)


@ENGINES
@pytest.mark.parametrize("categories", [(False,) * 5, (True,) * 5])
def test_a_net_may_have_numbers_alone_or_categories(
    categories: tuple[bool, ...], *, native: bool
) -> None:
    torch.manual_seed(1)
    net = FraudNet(categories, ModelConfig(width=8)).eval()
    fast = FastNet(net.tables(), native=native)
    np.testing.assert_allclose(fast.score(X), scored(net, X), atol=1e-6)


@ENGINES
def test_what_is_infinite_counts_as_very_much(net: FraudNet, *, native: bool) -> None:
    fast = FastNet(net.tables(), native=native)
    x = X[:1].repeat(2, axis=0)
    x[0, 0], x[1, 0] = np.inf, 3e38
    (much, more) = fast.score(x)
    assert much == more


@ENGINES
def test_scores_stay_probabilities_for_extreme_weights(net: FraudNet, *, native: bool) -> None:
    extreme = dataclasses.replace(net.tables(), last_bias=np.full(6, 900, dtype=np.float32))
    assert FastNet(extreme, native=native).score(X).max() == 1
    extreme = dataclasses.replace(extreme, last_bias=-extreme.last_bias)
    assert 0 <= FastNet(extreme, native=native).score(X).max() < 1e-30


def test_a_score_does_not_depend_on_the_rows_beside_it(net: FraudNet) -> None:
    fast = FastNet(net.tables())
    assert fast.is_native
    together = fast.score(X)
    for n_rows in (1, 2, 3, 4, 5, 6, 7, 95, 97, 200):
        parts = [fast.score(X[start : start + n_rows]) for start in range(0, len(X), n_rows)]
        assert np.concatenate(parts).tobytes() == together.tobytes()


@ENGINES
@pytest.mark.parametrize("threads", [2, 3])
def test_threads_share_many_rows(net: FraudNet, threads: int, *, native: bool) -> None:
    fast = FastNet(net.tables(), threads=threads, native=native)
    x = rows(2_000, seed=4)
    for n_rows in (0, 1, 511, 512, 767, 2_000):
        np.testing.assert_allclose(fast.score(x[:n_rows]), scored(net, x[:n_rows]), atol=1e-6)


def test_rows_are_scored_though_all_threads_are_at_other_work(net: FraudNet) -> None:
    fast = FastNet(net.tables(), threads=3)
    assert fast._pool is not None
    is_over = threading.Event()
    others = [fast._pool.submit(is_over.wait, 60) for _ in range(5)]
    x = rows(_MANY, seed=4)
    try:
        found = fast.score(x)
        assert not any(other.done() for other in others)
    finally:
        is_over.set()
    np.testing.assert_array_equal(found, fast.score(x))


def test_threads_may_score_at_the_same_time(net: FraudNet) -> None:
    fast = FastNet(net.tables())
    together = fast.score(X)
    found: list[np.ndarray] = []
    threads = [
        threading.Thread(target=lambda: found.extend(fast.score(X) for _ in range(50)))
        for _ in range(4)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(found) == 200
    assert all((it == together).all() for it in found)


@ENGINES
def test_rows_need_not_be_contiguous_nor_be_there(net: FraudNet, *, native: bool) -> None:
    fast = FastNet(net.tables(), native=native)
    np.testing.assert_array_equal(fast.score(X[::2]), fast.score(X[::2].copy()))
    np.testing.assert_array_equal(fast.score(np.asfortranarray(X)), fast.score(X))
    assert fast.score(X[:0]).shape == (0,)


@ENGINES
@pytest.mark.parametrize(
    ("features", "said"),
    [
        (X[:, :4], r"shape \(N, 5\), got \(500, 4\)"),
        (X[0], r"shape \(N, 5\), got \(5,\)"),
        (X.astype(np.float64), "must be float32, got float64"),
    ],
)
def test_other_features_are_refused(
    net: FraudNet, features: np.ndarray, said: str, *, native: bool
) -> None:
    with pytest.raises(ValueError, match=said):
        FastNet(net.tables(), native=native).score(features)


def test_tables_survive_as_bytes(net: FraudNet) -> None:
    content = net.tables().to_bytes()
    again = NetTables.from_bytes(content)
    assert again.to_bytes() == content
    np.testing.assert_array_equal(FastNet(again).score(X), FastNet(net.tables()).score(X))


@pytest.mark.parametrize("content", [b"", b"no tables", bytes(100)])
def test_other_bytes_are_no_tables(content: bytes) -> None:
    with pytest.raises(ArtifactError, match="not the tables of a net"):
        NetTables.from_bytes(content)


def test_machine_code_is_used_where_the_processor_has_its_instructions() -> None:
    flags = set(Path("/proc/cpuinfo").read_text().partition("\nflags")[2].split("\n")[0].split())
    is_other = not flags  # of another family, whose every processor has them
    assert _native_net.LIBRARY.exists()
    found = _native_net.library()
    assert (found is not None) == (is_other or {"avx2", "fma"} <= flags)
    if found is not None:
        assert (found.level == 2) == ("avx512f" in flags)


def test_wider_vectors_change_no_bit(net: FraudNet) -> None:
    wide = _native_net.library()
    if wide is None or wide.level < 2:
        pytest.skip("this processor has no AVX-512")
    narrow = _native_net.library_of(1)
    assert narrow is not None
    assert narrow.level == 1
    ours, theirs = (_native_net.NativeNet(net.tables(), it) for it in (wide, narrow))
    for n in range(1, 100):
        np.testing.assert_array_equal(ours.score(X[:n]), theirs.score(X[:n]))


def test_without_machine_code_it_scores_all_the_same(
    net: FraudNet, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    damaged = tmp_path / "native_net.so"
    damaged.write_bytes(b"of another system")
    for library in (tmp_path / "nowhere.so", damaged):
        monkeypatch.setattr(_native_net, "LIBRARY", library)
        _native_net.library.cache_clear()
        fast = FastNet(net.tables())
        _native_net.library.cache_clear()
        assert not fast.is_native
        np.testing.assert_allclose(fast.score(X), scored(net, X), atol=1e-6)
