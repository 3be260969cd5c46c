r"""Converts models between our checkpoints, the published release's, and shared ones.

| form | is |
|---|---|
| orbax | a try_K folder of a run, or what this command writes |
| pytorch | what the release's save_pretrained writes |
| shared | the release's files, hm3_jax.json (features, settings, metrics), model card |

The release's folder has config.json with model.safetensors or pytorch_model.bin, which
is read weights-only; a model card is a README.md. The input may lie on the Hugging Face hub: --input=hub:USER/NAME[@REVISION]. With
--push_to_hub what was written with --to=shared is put there.

  python -m hm3_jax.convert --from=pytorch --to=orbax --input=RELEASE_FOLDER \
    --output=DIR

  python -m hm3_jax.convert --from=orbax --to=shared --input=runs/STL/NAME/try_1 \
    --output=DIR --push_to_hub=USER/NAME --private
"""

from pathlib import Path
from typing import cast

from absl import flags

from hm3_jax import cli, conversion
from hm3_jax.nn.convolution import Masking

_FROM = flags.DEFINE_enum(
    "from", None, conversion.FORMS, "Form of --input.", required=True
)
_TO = flags.DEFINE_enum(
    "to", None, conversion.FORMS, "Form of --output.", required=True
)
_INPUT = flags.DEFINE_string(
    "input", None, "Checkpoint folder, or hub:USER/NAME[@REVISION].", required=True
)
_OUTPUT = flags.DEFINE_string(
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
    "push_to_hub", None, "USER/NAME on the hub to put a shared model at."
)
_PRIVATE = flags.DEFINE_bool(
    "private", False, "Whether only its owner sees the pushed model."
)


def main() -> None:
    """Reads the flags and converts."""
    for flag, of, form in (
        (_CNN1D_MASKING, _FROM, "pytorch"),
        (_PUSH_TO_HUB, _TO, "shared"),
    ):
        if flag.present and of.value != form:
            raise ValueError(
                f"--{flag.name} is for --{of.name}={form}, found --{of.name}={of.value}"
            )
    if _PRIVATE.value and _PUSH_TO_HUB.value is None:
        raise ValueError("--private is for --push_to_hub, found none")
    lines = conversion.convert(
        conversion.Conversion(
            source=_INPUT.value or "",
            source_form=cast(conversion.Form, _FROM.value),
            output=Path(_OUTPUT.value or ""),
            output_form=cast(conversion.Form, _TO.value),
            cnn1d_masking=cast(Masking, _CNN1D_MASKING.value),
            push_to_hub=_PUSH_TO_HUB.value,
            private=bool(_PRIVATE.value),
        )
    )
    print("\n".join(lines))


if __name__ == "__main__":
    cli.run(main)
