r"""Makes a folder of museums searchable, and shows them as a web page.

FOLDER has a folder for each museum, which has a folder for each room, which has the
pictures: harbour museum/Calm/view 1.jpg. If a museum has only one room, its pictures
may be in the museum's folder. Put paintings into images/ and videos into videos/ of a
room, and the text about a museum into its description.txt; all three are optional.

The command lists the museums, reads their pictures and texts with a CLIP model, makes
an index, which needs no training, and serves the page until it is stopped. Its last
line is the page's address. Everything finished is kept in OUTPUT: the same command
continues where it stopped, and finds what was added, removed or repaired since. Files
that it leaves out are listed in OUTPUT/left_out.txt, with the reason.

  python -m hm3_jax.collection --input=FOLDER --output=OUTPUT

It combines prepare, extract, build_index and serve, which also work alone.
"""

from __future__ import annotations

import dataclasses
from pathlib import Path

from absl import flags

from hm3_jax.cli import clip_flags, frame, path_flags

_INPUT = path_flags.define_path(
    "input", None, "Folder with a folder for each museum.", required=True
)
_OUTPUT = path_flags.define_path(
    "output",
    None,
    "Folder to make, or one that this command made; INPUT.collection if not given.",
)
_SERVE = flags.DEFINE_bool("serve", True, "Serve the page; --noserve stops before.")
_PORT = flags.DEFINE_integer(
    "port", 8080, "Port of the page; 0 takes a free one.", 0, 65535
)
_HOST = flags.DEFINE_string(
    "host", "127.0.0.1", "Address of the page; 0.0.0.0 listens on all of them."
)
_NUM_WORKERS = flags.DEFINE_integer(
    "num_workers",
    None,
    "Processes that decode pictures and videos; by default one per core, or just one "
    "for little work.",
)
flags.adopt_module_key_flags(clip_flags)

# Where no flag names a model.
_PRESET = "hm3"


def main() -> None:
    """Reads the flags; makes the collection and serves it."""
    preset = clip_flags.given_preset(_PRESET)
    # Help and wrong flags do without what starts slowly.
    from hm3_jax.app.collection import INDEX, CollectionSettings, make_collection
    from hm3_jax.app.serving import ServeSettings, check_address, serve
    from hm3_jax.learn.devices.compilation_cache import keep_compiled_programs

    source = Path(_INPUT.value)
    output = source.with_name(f"{source.resolve().name}.collection")
    if _OUTPUT.value is not None:
        output = Path(_OUTPUT.value)
    language = clip_flags.LANGUAGE.value
    split = dataclasses.replace(preset.text_split, language=language)
    settings = CollectionSettings(
        source=source,
        output=output,
        preset=dataclasses.replace(preset, text_split=split),
        device=clip_flags.DEVICE.value,
        num_workers=_NUM_WORKERS.value,
    )
    page = ServeSettings(
        index=output / INDEX,
        host=_HOST.value,
        port=_PORT.value,
        museums=settings.page_list,
        input_root=source,
        pretrained=clip_flags.PRETRAINED.value,
        device=clip_flags.DEVICE.value,
    )
    keep_compiled_programs()
    if _SERVE.value:
        # Before what takes long: it may be taken.
        check_address(page.host, page.port)
    make_collection(settings, say=_say)
    if _SERVE.value:
        _say("opening the page")
        serve(page)


def _say(line: str) -> None:
    print(line, flush=True)


if __name__ == "__main__":
    frame.run(main)
