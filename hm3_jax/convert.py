r"""Converts checkpoints of the published PyTorch release to ours and back.

A PyTorch checkpoint is the folder that the release's save_pretrained writes:
config.json with model.safetensors or pytorch_model.bin (read weights-only). Ours is a
folder that evaluate takes: a try_K folder of a run, or what this command writes.

  python -m hm3_jax.convert --from=pytorch --to=orbax --input=RELEASE_FOLDER \
    --output=DIR
"""

import warnings
from pathlib import Path
from typing import cast

from absl import flags

from hm3_jax import cli
from hm3_jax.interop.release_folder import read_release_folder, write_release_folder
from hm3_jax.learn import checkpoint
from hm3_jax.learn.model import Model
from hm3_jax.nn.convolution import Masking
from hm3_jax.nn.strategy import ConvConfig

_FORMS = ["pytorch", "orbax"]
_FROM = flags.DEFINE_enum("from", None, _FORMS, "Form of --input.", required=True)
_TO = flags.DEFINE_enum("to", None, _FORMS, "Form of --output.", required=True)
_INPUT = flags.DEFINE_string("input", None, "Checkpoint folder.", required=True)
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


def main() -> None:
    """Reads the flags and converts."""
    source, output = Path(_INPUT.value), Path(_OUTPUT.value)
    if _FROM.value == _TO.value:
        raise ValueError(
            f"expected two forms, found --from={_FROM.value} --to={_TO.value}"
        )
    if output.exists():
        raise FileExistsError(f"{output}: expected no such folder, found one")
    if _FROM.value == "pytorch":
        config, params = read_release_folder(source)
        # What its features came from, the release does not write down.
        masking = cast(Masking, _CNN1D_MASKING.value)
        model = Model(config, masking, params, feature_facts=None)
        checkpoint.save(output, "best", checkpoint.Checkpoint(model, epoch=0))
    else:
        if flags.FLAGS["cnn1d_masking"].present:
            raise ValueError(
                "--cnn1d_masking is for --from=pytorch, found --from=orbax"
            )
        model = checkpoint.load_model(source).model
        if (
            isinstance(model.config.museum, ConvConfig)
            and model.cnn1d_masking == "time"
        ):
            warnings.warn(
                f"{source}: this 1-D CNN masks time; the published release masks "
                "channels and will embed the same museums otherwise",
                stacklevel=2,
            )
        write_release_folder(output, model.config, model.params)
    print(f"{model.config.file_stem}: written to {output}")


if __name__ == "__main__":
    cli.run(main)
