"""How models are named and which forms they have; starts nothing, for help pages."""

from typing import Literal, get_args

ZERO_SHOT = "zero-shot"
"""Names the model that needs no training, wherever a checkpoint is named."""

CHECKPOINT_HELP = (
    "A try_K folder, one that convert made with --to=orbax or --to=shared, "
    f"hub:USER/NAME[@REVISION], or {ZERO_SHOT}, which needs no training."
)
"""What a flag that takes a checkpoint says about it."""

Form = Literal["pytorch", "orbax", "shared"]
"""Form of a folder with a model: the release's, ours, or one made to share."""
FORMS = list(get_args(Form))
