"""The state of a worker that starts while the feature store is down: it comes when the store does.

A worker that died instead would be started again by TorchServe after ever longer pauses, and after
five minutes no more.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from data_connector import ConnectorError, DiskFullError, SourceUnreachableError
from fraud_detect.errors import ServingError
from fraud_detect.online_state import RETRY_AFTER, Features, OnlineState
from fraud_ml.feature_spec import FeatureSpec
from fraud_ml.feature_state import FeatureState
from fraud_ml.replica import Replica

log = logging.getLogger(__name__)

Open = Callable[[], OnlineState]


class LateState:
    """Counts nothing, and gives features without history, until the store can be reached."""

    def __init__(self, open_state: Open, spec: FeatureSpec) -> None:
        """Begins to try.

        Args:
            open_state: opens the state that takes over, in a thread.
            spec: of its features.
        """
        self._open = open_state
        self._empty = Replica(FeatureState(spec))
        self._state: OnlineState | None = None
        threading.Thread(target=self._try, daemon=True).start()

    @property
    def replica(self) -> Replica:
        """The state as of now; an empty one at first."""
        return self._empty if self._state is None else self._state.replica

    def count(self, columns: Mapping[str, Sequence[Any]]) -> Features:
        """The features of transactions, as :meth:`OnlineState.count` gives them."""
        if self._state is None:
            return Features(self._empty.state.without_history(columns), degraded=True)
        return self._state.count(columns)

    def _try(self) -> None:
        said = ""
        while True:
            try:
                self._state = self._open()
            except (ConnectorError, ServingError) as error:
                if str(error) != said:
                    log.error("scoring without history until the state is there: %s", error)
                    said = str(error)
                time.sleep(RETRY_AFTER)
            else:
                log.warning("the state is there: scoring with history from now on")
                return


def online_state(open_state: Open, spec: FeatureSpec) -> OnlineState | LateState:
    """The state that ``open_state`` opens, now or as soon as its store can be reached.

    Args:
        open_state: opens it.
        spec: of its features.

    Raises:
        ConnectorError: it will never be there, as what is stored is no such state.
        ServingError: it is damaged, or too old.
    """
    try:
        return open_state()
    except (SourceUnreachableError, DiskFullError) as error:
        log.error("starting without the feature store: %s", error)
        return LateState(open_state, spec)
