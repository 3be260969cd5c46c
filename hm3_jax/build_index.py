r"""Embeds the museums of a store into an index, for search and serve.

The index is a folder with the vectors, ids, themes and descriptions of the museums, and
with the text tower of the model, so searching needs neither store nor checkpoint.
--append adds the museums of another store, and --remove drops museums; the others are
not embedded again. An index belongs to one model and one text encoder.
--checkpoint=zero-shot needs no training: features are compared as they are.

With --uri the index is also copied to Qdrant, for search --uri: after building or
changing it, or as it is if no other flag changes it. --client writes the small folder
that a machine needs as --index to search there; write it again after each change.

  python -m hm3_jax.build_index --checkpoint=runs/STL/NAME/try_1 --features=STORE \
    --output=INDEX
  python -m hm3_jax.build_index --checkpoint=runs/STL/NAME/try_1 --features=MORE \
    --output=INDEX --append
  python -m hm3_jax.build_index --output=INDEX --remove=museum00017,museum00020
"""

from pathlib import Path

from absl import flags

from hm3_jax.app.model_names import CHECKPOINT_HELP
from hm3_jax.cli import engine_flags, frame, path_flags, precision_flag
from hm3_jax.data.open_features import FEATURES_HELP

_OUTPUT = path_flags.define_path("output", None, "Folder of the index.", required=True)
_CHECKPOINT = path_flags.define_path("checkpoint", None, CHECKPOINT_HELP)
_FEATURES = path_flags.define_path("features", None, FEATURES_HELP)
_SPLITS = flags.DEFINE_list(
    "splits", [], "Splits whose museums are embedded; all if not given."
)
_MUSEUMS = path_flags.define_path(
    "museums", None, "Museum list with titles and descriptions of the museums."
)
_APPEND = flags.DEFINE_bool("append", False, "Add to the existing index.")
_REMOVE = flags.DEFINE_list("remove", [], "Ids of museums to drop from the index.")
_VERIFY = flags.DEFINE_bool("verify", False, "Check every byte of the index.")
_CLIENT = path_flags.define_path(
    "client",
    None,
    "Folder to write for machines that search by --uri: manifest, text tower and the "
    "words of descriptions, no museums.",
)
flags.adopt_module_key_flags(engine_flags)
flags.adopt_module_key_flags(precision_flag)


def main() -> None:
    """Reads the flags; builds, changes, checks, copies."""
    output, embeds = Path(_OUTPUT.value), _embeds()
    engine = engine_flags.given_engine()
    if not embeds and not (_REMOVE.value or _VERIFY.value or engine):
        raise ValueError(
            "expected --checkpoint and --features to build an index, or --remove, "
            "--verify or --uri for one that is there, found none of them"
        )
    if _CLIENT.present and engine is None:
        raise ValueError("--client is for --uri, found none")
    from hm3_jax.app import index_commands
    from hm3_jax.learn.devices.compilation_cache import keep_compiled_programs
    from hm3_jax.learn.devices.memory import take_as_needed

    take_as_needed()
    keep_compiled_programs()
    if embeds:
        inputs = index_commands.IndexInputs(
            _CHECKPOINT.value or "",
            _FEATURES.value or "",
            tuple(_SPLITS.value),
            None if _MUSEUMS.value is None else Path(_MUSEUMS.value),
        )
        with precision_flag.given_precision():
            print(index_commands.build(inputs, output, append=_APPEND.value))
    if _REMOVE.value:
        print(index_commands.remove(output, tuple(_REMOVE.value)))
    if _VERIFY.value:
        print(index_commands.verify(output))
    if engine is not None:
        print(index_commands.copy_to_engine(output, engine))
    if _CLIENT.value is not None:
        print(index_commands.write_client(output, Path(_CLIENT.value)))


def _embeds() -> bool:
    """Whether museums are embedded; refuses flags that contradict each other."""
    given = [flag for flag in (_CHECKPOINT, _FEATURES) if flag.present]
    if len(given) == 2:
        if _REMOVE.value:
            raise ValueError(
                "--remove drops museums from an index that is there and --features "
                "embeds others: call build_index twice"
            )
        return True
    if given:
        other = "features" if given[0] is _CHECKPOINT else "checkpoint"
        raise ValueError(f"--{given[0].name} needs --{other}, found none")
    for flag in (_SPLITS, _MUSEUMS, _APPEND, precision_flag.MATMUL_PRECISION):
        if flag.present:
            raise ValueError(
                f"--{flag.name} is for --checkpoint and --features, found neither"
            )
    return False


if __name__ == "__main__":
    frame.run(main)
