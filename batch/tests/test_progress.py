"""Stages are timed and told."""

import pytest

from batch_proc.progress import Stages


def test_a_stage_is_timed_and_told_once_it_is_done(capsys: pytest.CaptureFixture[str]) -> None:
    stages = Stages()
    with stages.stage("fetch", "fetch transactions") as stage:
        stage.advance(1, 2)
        stage.say("17 rows")
        assert capsys.readouterr().err == ""
    stages.stop()
    assert list(stages.seconds) == ["fetch"]
    assert capsys.readouterr().err.startswith("fetch transactions: 17 rows (0.0 s)")


def test_a_stage_that_fails_is_not_told_as_done(capsys: pytest.CaptureFixture[str]) -> None:
    stages = Stages()
    with pytest.raises(ValueError, match="broken"), stages.stage("fetch", "fetch"):
        raise ValueError("broken")
    assert stages.seconds == {}
    assert capsys.readouterr().err == ""
