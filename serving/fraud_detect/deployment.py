"""Puts another version into a running server, without one request failed."""

from __future__ import annotations

import fcntl
import http.client
import logging
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from data_connector import ModelStore
from data_connector.model_aliases import CHALLENGER, CHAMPION, NEXT, PREVIOUS, SERVING
from fraud_detect.archive import write_archive
from fraud_detect.drain import CLOSED, wait_until_idle
from fraud_detect.errors import ServingError
from fraud_detect.management import Management, management_of
from fraud_detect.online_state import check_history
from fraud_detect.running import Running
from fraud_detect.server_folder import ServerFolder
from fraud_detect.shadow_table import compare
from fraud_detect.worker_settings import MODEL_NAME
from fraud_ml.artifact import load_artifact
from fraud_ml.feature_spec import FeatureSpec
from fraud_ml.transactions import transaction_columns

log = logging.getLogger(__name__)


class Deployment:
    """What is done to one running server."""

    def __init__(self, running: Running, say: Callable[[str], object]) -> None:
        """Does nothing yet.

        Args:
            running: the server.
            say: is told each step, for the user.
        """
        self._folder: ServerFolder = running.server_folder
        self._management: Management = management_of(self._folder)
        self._settings = running.settings
        self._say = say
        self.store = ModelStore(running.settings.model_store)

    def serving(self) -> int:
        """The version that answers.

        Raises:
            ServingError: the server stops.
        """
        version = self._management.default().version
        if version == CLOSED:
            raise ServingError("the server is about to stop")
        return int(version)

    def status(self) -> list[str]:
        """What serves, in lines for the user."""
        serving, aliases = self.serving(), self.store.aliases(MODEL_NAME)
        lines = [f"serving: version {serving}"]
        for one in self._management.loaded():
            ready = f"{one.ready} of {one.workers} workers ready"
            lines.append(f"  version {one.version}: {ready}, {one.waiting} requests waiting")
        known = (CHAMPION, PREVIOUS, CHALLENGER)
        lines += [f"{alias}: {aliases.get(alias, 'none')}" for alias in known]
        challenger = aliases.get(CHALLENGER)
        if challenger is not None:
            found = compare(self._settings.shadow_log, serving, challenger)
            lines += [
                f"  compared: {found.compared:,} payments, {found.missed:,} were not",
                f"  mean difference of the scores: {found.difference:+.4f}",
                f"  other decisions: {found.other_decisions:.2%}",
            ]
        return lines

    def challenge(self, version: int | None) -> None:
        """Lets a version score beside the one that answers; None: no longer any.

        Raises:
            ArtifactError: the model is damaged.
            ServingError: it cannot score here.
        """
        if version is None:
            self.store.set_alias(MODEL_NAME, CHALLENGER, None)
            self._say("no challenger")
            return
        if not self._settings.shadow_log:
            raise ServingError("this server keeps no scores of challengers")
        before = self.serving()
        if version == before:
            raise ServingError(f"version {version} is the one that answers")
        check_history(self._settings.feature_store, self._spec(version))
        if unread := self._unread(version, before):
            raise ServingError(
                f"version {version} reads {unread}, which version {before} does not: it cannot"
                " score what that one is sent; deploy it instead"
            )
        self.store.set_alias(MODEL_NAME, CHALLENGER, version)
        self._say(f"version {version} scores beside version {before} in a few seconds")

    def promote(self) -> None:
        """Deploys the challenger, which is one no longer.

        Raises:
            ServingError: there is none; or as from :meth:`deploy`.
        """
        challenger = self.store.aliases(MODEL_NAME).get(CHALLENGER)
        if challenger is None:
            raise ServingError("there is no challenger to promote: --challenger VERSION makes one")
        self.deploy(challenger)
        self.store.set_alias(MODEL_NAME, CHALLENGER, None, expected=challenger)

    def named(self, name: str) -> int:
        """The version that a user means by a number or an alias.

        Raises:
            ModelNotFoundError: there is none; the message lists those there are.
        """
        if name.isdigit():
            return self.store.get(MODEL_NAME, int(name)).version
        return self.store.resolve(MODEL_NAME, name).version

    def deploy(self, version: int) -> None:
        """Lets a version answer in the place of the one that does.

        The new one has loaded the model and its state, and is warm, before it gets the first
        request; the old one answers all that it has before it is dropped. Where anything fails
        before the new one answers, the old one goes on.

        Raises:
            AliasConflictError: another version was made the champion meanwhile.
            ArtifactError: the model is damaged.
            ModelNotFoundError: there is no such version.
            ServingError: the version cannot serve here.
        """
        with self._alone():
            before = self.serving()
            champion = self.store.aliases(MODEL_NAME).get(CHAMPION)
            self._check(version, before)
            if version == before:
                self.store.set_alias(MODEL_NAME, CHAMPION, version, expected=champion)
                self._say(f"version {version} serves already")
                return
            try:
                self._load(version)
                self._switch(version, champion)
            except BaseException:
                self._drop_all_but(before)
                raise
            finally:
                self.store.set_alias(MODEL_NAME, NEXT, None)
            self.store.set_alias(MODEL_NAME, PREVIOUS, before)
            self.store.set_alias(MODEL_NAME, SERVING, version)
            self._say(f"version {version} serves")
            self._drop_all_but(version)
            self._say(f"version {before} has answered all that it had, and is dropped")

    def roll_back(self) -> None:
        """Deploys the version that served before.

        Raises:
            ServingError: there is none.
        """
        before = self.store.aliases(MODEL_NAME).get(PREVIOUS)
        if before is None:
            raise ServingError("no version served before this one: nothing to go back to")
        self.deploy(before)

    def _check(self, version: int, before: int) -> None:
        """Raises where a version cannot serve after another, before anything is done."""
        has_snapshot = check_history(self._settings.feature_store, self._spec(version))
        unread = self._unread(version, before)
        if unread and not has_snapshot:
            raise ServingError(
                f"version {version} reads {unread}, which version {before} does not, so that the"
                " journal has nothing of it: backfill the state of its features first,"
                " ./bazelw run //batch:backfill"
            )

    def _unread(self, version: int, before: int) -> str:
        """The columns that one version reads and another does not, as a list for the user."""
        there = transaction_columns(self._spec(before))
        return ", ".join(c for c in transaction_columns(self._spec(version)) if c not in there)

    def _spec(self, version: int) -> FeatureSpec:
        return load_artifact(self.store.get(MODEL_NAME, version).path).spec

    def _load(self, version: int) -> None:
        """Loads a version; its keeping begins before, so that its state stays whole."""
        self.store.set_alias(MODEL_NAME, NEXT, version)
        like = self._management.default()
        self._drop_all_but(int(like.version))  # what a deployment left that was broken off
        archive = self._folder.archive_of(str(version))
        write_archive(archive, name=MODEL_NAME, version=str(version))
        self._say(f"loading version {version}")
        try:
            self._management.register(archive.name, like, workers=like.workers)
        except (OSError, ServingError, http.client.HTTPException) as error:
            raise ServingError(
                f"version {version} did not start, and version {like.version} still serves; why,"
                f" is in the log of the server: {self._folder.log}; {error}"
            ) from None

    def _switch(self, version: int, champion: int | None) -> None:
        """Makes a loaded version the champion, and lets it answer."""
        self.store.set_alias(MODEL_NAME, CHAMPION, version, expected=champion)
        try:
            self._management.make_default(str(version))
        except BaseException:
            self.store.set_alias(MODEL_NAME, CHAMPION, champion, expected=version)
            raise

    def _drop_all_but(self, version: int) -> None:
        for loaded in self._management.loaded():
            if loaded.version == str(version):
                continue
            # By then TorchServe itself has given up what is not answered.
            within = loaded.response_timeout_s
            if not wait_until_idle(self._management, self._folder, loaded.version, within=within):
                log.warning("version %s was still at work when it was dropped", loaded.version)
            self._management.unregister(loaded.version)

    @contextmanager
    def _alone(self) -> Iterator[None]:
        with (self._folder.path / "deploy.lock").open("w") as lock:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                raise ServingError("another deployment is going on: wait for its end") from None
            yield
