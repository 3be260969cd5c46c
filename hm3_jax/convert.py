r"""Converts models between our checkpoints, the published release's, and shared ones.

| form | is |
|---|---|
| orbax | a try_K folder of a run, or a folder that this command wrote |
| pytorch | a folder that the release's save_pretrained wrote |
| shared | strategy, weights, hm3_jax.json (features, settings, metrics), model card |

The release's folder has config.json, and model.safetensors or pytorch_model.bin, of
which only weights are read; a model card is a README.md. The release has no late
interaction: such models are orbax or shared. The input may be on the Hugging Face hub:
--input=hub:USER/NAME[@REVISION]. --push_to_hub uploads the folder that --to=shared
writes; if that fails, no folder is left, and the same command can be run again.

  python -m hm3_jax.convert --from=pytorch --to=orbax --input=RELEASE_FOLDER \
    --output=DIR

  python -m hm3_jax.convert --from=orbax --to=shared --input=runs/STL/NAME/try_1 \
    --output=DIR --push_to_hub=USER/NAME --private
"""

from pathlib import Path
from typing import cast

from absl import flags

from hm3_jax.app.model_names import FORMS, Form
from hm3_jax.cli import frame, path_flags
from hm3_jax.nn.strategy import Masking

_FROM = flags.DEFINE_enum("from", None, FORMS, "Form of --input.", required=True)
_TO = flags.DEFINE_enum("to", None, FORMS, "Form of --output.", required=True)
_INPUT = path_flags.define_path(
    "input", None, "Checkpoint folder, or hub:USER/NAME[@REVISION].", required=True
)
_OUTPUT = path_flags.define_path(
    "output", None, "Folder to write; must not exist.", required=True
)
_CNN1D_MASKING = flags.DEFINE_enum(
    "cnn1d_masking",
    "channels",
    ["channels", "time"],
    "Masking of a 1-D CNN that comes from PyTorch: channels for checkpoints of the "
    "published release, time for those of a corrected one.",
)
_PUSH_TO_HUB = flags.DEFINE_string(
    "push_to_hub",
    None,
    "USER/NAME on the hub to push a shared model to; created if it does not exist, "
    "otherwise it gets a new commit.",
)
_PRIVATE = flags.DEFINE_bool(
    "private",
    None,
    "Whether the pushed model is private. If not given, a new one follows the owner's "
    "account settings, and an existing one stays as it is.",
)


def main() -> None:
    """Reads the flags and converts."""
    frame.refuse_flags_of_others(_FROM, {"pytorch": [_CNN1D_MASKING]})
    frame.refuse_flags_of_others(_TO, {"shared": [_PUSH_TO_HUB]})
    if _PRIVATE.present and _PUSH_TO_HUB.value is None:
        raise ValueError("--private has no effect without --push_to_hub")
    from hm3_jax.app.conversion import Conversion, convert
    from hm3_jax.app.sharing import Push

    push = None
    if _PUSH_TO_HUB.value is not None:
        push = Push(_PUSH_TO_HUB.value, _PRIVATE.value)
    lines = convert(
        Conversion(
            source=_INPUT.value or "",
            source_form=cast(Form, _FROM.value),
            output=Path(_OUTPUT.value or ""),
            output_form=cast(Form, _TO.value),
            cnn1d_masking=cast(Masking, _CNN1D_MASKING.value),
            push=push,
        )
    )
    print("\n".join(lines))


if __name__ == "__main__":
    frame.run(main)
