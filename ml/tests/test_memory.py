"""Arrays that are passed on without counting references, and memory that is fetched early."""

import gc
import sys

import numpy as np
import pytest
from numba import njit

from fraud_ml._memory import borrowed, prefetch


@njit
def add_one(array):
    ours = borrowed(array)
    ours += 1
    return ours.shape, ours.sum()


@njit
def fetched_sum(array, index):
    prefetch(array, index)
    return array.sum()


@pytest.mark.parametrize("shape", [(5,), (3, 4), (2, 3, 4)])
def test_what_is_borrowed_is_the_same_memory(shape):
    array = np.arange(np.prod(shape)).reshape(shape)
    found, total = add_one(array)
    assert found == shape
    assert total == np.arange(1, array.size + 1).sum() == array.sum()


def test_who_borrows_lets_nothing_go():
    array = np.arange(1_000)
    before = sys.getrefcount(array)
    for _ in range(100):
        add_one(array)
    gc.collect()
    assert sys.getrefcount(array) == before
    np.testing.assert_array_equal(array, np.arange(100, 1_100))


@pytest.mark.parametrize("index", [0, 4, -1, 10**6, -(2**60), 2**60])
def test_to_fetch_changes_nothing_wherever_it_is(index):
    array = np.arange(5.0)
    assert fetched_sum(array, index) == 10
    np.testing.assert_array_equal(array, np.arange(5.0))


def test_the_processor_is_told():
    fetched_sum(np.arange(5.0), 1)
    (code,) = fetched_sum.inspect_asm().values()
    assert "\tprefetch" in code or "\tprfm" in code  # as x86-64 and ARM say it
