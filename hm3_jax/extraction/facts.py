"""Facts of extracted features: what a store's manifest says of each kind."""

from __future__ import annotations

from collections.abc import Mapping
from importlib.metadata import PackageNotFoundError, version
from typing import Any

from hm3_jax.data.store_format import FeatureFacts
from hm3_jax.extraction.clip_choice import CUSTOM, HUB, ClipChoice, ResolvedClip

_LIBRARIES = (
    "open_clip_torch",
    "torch",
    "pillow",
    "av",
    "sentencex",
    "numpy",
)


def library_versions() -> dict[str, str]:
    """Versions of the libraries that features depend on, as far as installed."""
    versions = {}
    for name in _LIBRARIES:
        try:
            versions[name] = version(name)
        except PackageNotFoundError:
            continue
    return versions


def feature_facts(
    model_facts: Mapping[str, Any],
    kind: str,
    *,
    pooling: str | None = None,
    details: Mapping[str, Any] | None = None,
) -> FeatureFacts:
    """Facts of one kind of feature.

    Precision and library versions are left out: they change the last digits, and a
    checkpoint should not refuse a store for them. They belong into `Manifest.origin`.

    Args:
        model_facts: `ClipModel.facts()`.
        kind: "sentences", "views", "images" or "videos".
        pooling: How several outputs became one feature.
        details: What else it takes to compute the same features, such as how texts
            were cut or frames taken (JSON values).

    Returns:
        The facts; `text_model_for` finds the same model by them.
    """
    known = {
        name: model_facts[name]
        for name in ("weights_sha256", "activation", "normalized")
    }
    if kind == "sentences":
        length = model_facts["context_length"]
        known["context_length"] = length
        preprocessing = f"tokens of the model's tokenizer, cut to {length}"
    else:
        settings = model_facts["preprocessing"]
        known["preprocessing"] = settings
        height, width = settings["size"]
        preprocessing = (
            f"RGB, {settings['resize_mode']} side(s) to {width} x {height} "
            f"({settings['interpolation']}), centre, normalised"
        )
    return FeatureFacts(
        feature_size=model_facts["feature_size"],
        model=model_facts["model"],
        weights=model_facts["weights"],
        preprocessing=preprocessing,
        pooling=pooling,
        details=known | dict(details or {}),
    )


def choice_of(facts: Mapping[str, Any], pretrained: str | None) -> ClipChoice:
    """The model that features came from, to be loaded again.

    Args:
        facts: Fields of the features' `FeatureFacts`.
        pretrained: Where its weights are now; where `facts` say if None.

    Raises:
        ValueError: If the facts do not say enough.
    """
    model, weights = facts.get("model"), facts.get("weights")
    if not model:
        raise ValueError(
            "expected features that say which model they came from, found none named"
        )
    if model.startswith(CUSTOM):
        if pretrained is None:
            raise ValueError(
                f"the features came from a model without a name ({model}), weights "
                f"{weights}: give the folder that has it (--pretrained)"
            )
        return ClipChoice(None, pretrained, "float32")
    if model.startswith(HUB):
        # A folder that was downloaded from there says which model it is.
        return ClipChoice(None if pretrained else model, pretrained, "float32")
    return ClipChoice(model, pretrained or weights, "float32")


def check_same_encoder(
    facts: Mapping[str, Any], resolved: ResolvedClip, checksum: str
) -> None:
    """Checks that a model is the one that features came from.

    Args:
        facts: Fields of the features' `FeatureFacts`.
        resolved: The model.
        checksum: SHA-256 of its weights.

    Raises:
        ValueError: If it is another; the message has both.
    """
    details = facts.get("details") or {}
    model = facts.get("model")
    if details.get("weights_sha256") and str(model).startswith(HUB):
        model = None  # the checksum holds it fast, wherever it lies now
    for name, wanted, found in (
        ("model", model, resolved.name),
        ("activation", details.get("activation"), resolved.activation),
        ("weights_sha256", details.get("weights_sha256"), checksum),
        ("feature_size", facts.get("feature_size"), resolved.config["embed_dim"]),
    ):
        if wanted is not None and wanted != found:
            raise ValueError(
                f"{resolved.weights_file}: expected the encoder of the features, with "
                f"{name} {wanted}, found {found}"
            )
