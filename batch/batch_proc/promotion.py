"""Which alias a new model gets: the champion's, where it is better beyond chance.

The aliases mean what they mean to the service: a server takes the champion when it starts, lets the
challenger score beside it, and goes back to the previous one.
"""

from __future__ import annotations

from batch_proc.champion import Comparison, Incomparable
from data_connector import AliasConflictError, ModelStore, StoredModel
from data_connector.model_aliases import CHALLENGER, CHAMPION, PREVIOUS

Outcome = Comparison | Incomparable | None
"""Of a comparison with the champion; None: there is none."""


def register(store: ModelStore, stored: StoredModel, outcome: Outcome, *, promote: bool) -> str:
    """Gives a stored model its alias; what became of it and why, for the user.

    Without a champion it becomes the champion. Else only where the 95 % interval of the difference
    in average precision lies above zero: a model that decides over payments is replaced on
    evidence, not on luck, and each replacement is work and risk. What is not promoted becomes the
    challenger, unless it reads columns that the champion does not: no server could let it score
    beside, and it has no history to score with.

    Args:
        store: where it is stored.
        stored: the model.
        outcome: of its comparison with the champion.
        promote: False: it does not become the champion, however good it is.

    Raises:
        ConnectorError: the store cannot be written.
    """
    unread = () if outcome is None else outcome.unread
    if promote and not unread and _may_answer(outcome):
        try:
            return _promote(store, stored, outcome)
        except AliasConflictError as error:
            kept = f"{_kept(error.current)}: another was promoted meanwhile; train again to compare"
    elif outcome is None:
        kept = "no champion: --promote never"
    else:
        never = "" if promote else "--promote never; "
        kept = f"{_kept(outcome.champion)}: {never}{_why_kept(stored, outcome)}"
    return f"{kept}; {_challenge(store, stored, unread)}"


def _may_answer(outcome: Outcome) -> bool:
    return outcome is None or (isinstance(outcome, Comparison) and outcome.is_better)


def _promote(store: ModelStore, stored: StoredModel, outcome: Outcome) -> str:
    champion = None if outcome is None else outcome.champion
    store.set_alias(stored.name, CHAMPION, stored.version, expected=champion)
    done = f"promoted version {stored.version} to champion"
    if not isinstance(outcome, Comparison):
        return f"{done}: there was none"
    store.set_alias(stored.name, PREVIOUS, champion)
    numbers = f"AP {outcome.ap:.3f} against {outcome.champion_ap:.3f} of version {champion}"
    return f"{done}: {numbers} {_difference(outcome)}"


def _challenge(store: ModelStore, stored: StoredModel, unread: tuple[str, ...]) -> str:
    if unread:
        return (
            f"version {stored.version} is no challenger either: it reads {', '.join(unread)}, which"
            " the champion does not, so that a server has no history of it: ./bazelw run"
            f" //batch:backfill, then //serving:deploy -- {stored.version}"
        )
    before = store.aliases(stored.name).get(CHALLENGER)
    store.set_alias(stored.name, CHALLENGER, stored.version)
    instead = "" if before is None else f" in the place of version {before}"
    return f"version {stored.version} is the challenger{instead}"


def _kept(champion: int | None) -> str:
    return "no champion" if champion is None else f"kept champion {champion}"


def _why_kept(stored: StoredModel, outcome: Comparison | Incomparable) -> str:
    if isinstance(outcome, Incomparable):
        return f"not compared, because {outcome.why}"
    numbers = f"AP {outcome.champion_ap:.3f} against {outcome.ap:.3f} of version {stored.version}"
    return f"{numbers} {_difference(outcome)}"


def _difference(outcome: Comparison) -> str:
    """Where, and how sure: the new model's less the champion's."""
    low, high = outcome.difference.low, outcome.difference.high
    above = "lies above 0" if outcome.is_better else "does not lie above 0"
    return (
        f"on the same {outcome.n_rows:,} test transactions; the difference's 95 % interval,"
        f" {low:+.3f} to {high:+.3f}, {above}"
    )
