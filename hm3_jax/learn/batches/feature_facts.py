"""Whether features come from what a model was trained on."""

from collections.abc import Mapping
from typing import Any

from hm3_jax.files.differences import differences
from hm3_jax.learn.model import Model


def check_feature_facts(
    model: Model, store_facts: Mapping[str, Any], where: str
) -> bool:
    """Refuses features of another origin than those a model was trained on.

    What one side does not know (published files say little) is not compared.

    Args:
        model: the model.
        store_facts: `FeatureStore.feature_facts()`.
        where: path of the store, for the message.

    Returns:
        False where the model does not know what its features came from.

    Raises:
        ValueError: a kind the model reads differs, named with both values.
    """
    if model.feature_facts is None:
        return False
    for kind in ("sentences", *model.config.uses):
        wanted = model.feature_facts.get(kind, {})
        found = store_facts.get(kind)
        if found is None:
            raise ValueError(
                f"{where}: expected features of kind {kind}, which the model reads, "
                f"found {', '.join(store_facts)}"
            )
        for fact, before, now in differences(wanted, found):
            if None not in (before, now):  # known on both sides
                raise ValueError(
                    f"{where}: the model was trained on {kind} with {fact} "
                    f"{before!r}, found {now!r}"
                )
    return True
