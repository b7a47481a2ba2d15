"""What waits for the answers is done once, in order, and harms no payment."""

from __future__ import annotations

import numpy as np

from fraud_detect.after_answers import AfterAnswers
from fraud_detect.scored_batch import ScoredBatch


def batch_of(n_rows: int) -> ScoredBatch:
    rows = np.zeros((n_rows, 2), np.float32)
    return ScoredBatch({}, rows, rows[:, 0], (None,) * n_rows, degraded=False)


def test_watchers_see_each_batch_once_and_later() -> None:
    after, seen = AfterAnswers(), []
    watch = after.watcher(lambda batch: seen.append(len(batch.scores)))
    watch(batch_of(3))
    after.add(lambda: seen.append(0))
    watch(batch_of(4))
    assert seen == []
    after.run()
    after.run()
    assert seen == [3, 0, 4]


def test_what_fails_is_told_and_the_rest_is_done(caplog) -> None:
    after, seen = AfterAnswers(), []
    after.add(lambda: seen.append(1 // 0))
    after.add(lambda: seen.append(2))
    after.run()
    assert seen == [2]
    (record,) = caplog.records
    assert "answered, and not counted" in record.message
    assert record.exc_info is not None
    assert record.exc_info[0] is ZeroDivisionError
