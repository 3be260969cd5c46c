r"""Finds the museums of an index that show what a text describes.

A hit's line has its score, id and theme; the lines below say why it matched. In an
index of late interaction that is, for each sentence, the view, painting or video that
answers it, with their cosine. In an index of HM3's models, whose score is the cosine of
two vectors, it is the sentences and rooms, and how much smaller the score would be
without each. If museums have descriptions, they are also found by words; --match
chooses. If nothing fits well, the command says so. --json prints everything for
programs.

--picture searches with a picture, in an index of late interaction with features from
CLIP; --like searches with a museum of the index instead of a text.

--uri searches in Qdrant, where build_index --uri has copied the index; --index may then
be the small folder that build_index --client wrote. The answers are the same.

  python -m hm3_jax.search --index=INDEX --top_k=5 \
    --query="A baroque museum. In the first room, an angel stands before a harbour."
"""

import dataclasses
import json
from pathlib import Path
from typing import cast

from absl import flags

from hm3_jax.cli import engine_flags, frame, path_flags
from hm3_jax.files.text import read_text
from hm3_jax.retrieval.server.collection import Match, Query

_INDEX = path_flags.define_path(
    "index", None, "Index made by build_index.", required=True
)
_QUERY = flags.DEFINE_string(
    "query", None, "What the museum should show, in one or more sentences."
)
_QUERY_FILE = path_flags.define_path("query_file", None, "File with the query.")
_PICTURE = path_flags.define_path(
    "picture", None, "Picture to find similar museums for."
)
_LIKE = flags.DEFINE_string("like", None, "Id of a museum to find similar ones for.")
_TOP_K = flags.DEFINE_integer("top_k", 10, "How many museums to find.")
_THEME = flags.DEFINE_string("theme", None, "Search only in this theme.")
_MATCH = flags.DEFINE_enum(
    "match",
    None,
    ["pictures", "words", "both"],
    "What to search: pictures, the words written about museums, or both; both if not "
    "given and there are descriptions.",
)
_THEME_WEIGHT = flags.DEFINE_float(
    "theme_weight",
    None,
    "How much it counts that a museum shares the query's theme: 0 finds this museum, "
    "more finds museums like it; the model's own value if not given.",
)
_JSON = flags.DEFINE_bool("json", False, "Print JSON.")
_PRETRAINED = path_flags.define_path(
    "pretrained",
    None,
    "Weights of the text encoder (tag, file or folder), if they are not where the "
    "index says.",
)
_DEVICE = flags.DEFINE_string(
    "device", "auto", "PyTorch device of the text encoder, such as cpu or cuda:0."
)
flags.adopt_module_key_flags(engine_flags)


def main() -> None:
    """Reads the flags and prints what was found."""
    query, engine = _query(), engine_flags.given_engine()
    from hm3_jax.app.searching import SearchSettings, lines_of, search
    from hm3_jax.learn.devices.compilation_cache import keep_compiled_programs
    from hm3_jax.learn.devices.memory import take_as_needed

    settings = SearchSettings(
        index=Path(_INDEX.value),
        query=query,
        engine=engine,
        pretrained=_PRETRAINED.value,
        device=_DEVICE.value,
    )
    take_as_needed()
    keep_compiled_programs()
    answer = search(settings)
    if _JSON.value:
        print(json.dumps(dataclasses.asdict(answer), indent=1, ensure_ascii=False))
    else:
        print("\n".join(lines_of(answer)))


def _query() -> Query:
    ways = (_QUERY, _QUERY_FILE, _PICTURE, _LIKE)
    given = [flag for flag in ways if flag.present]
    if len(given) != 1:
        found = " and ".join(f"--{flag.name}" for flag in given) or "none of them"
        raise ValueError(
            f"expected --query, --query_file, --picture or --like, found {found}"
        )
    for flag in (_PICTURE, _LIKE):
        if flag.present and _MATCH.present:
            raise ValueError(f"--match is for a text, found --{flag.name}")
    if _LIKE.present:
        for flag in (_PRETRAINED, _DEVICE):
            if flag.present:
                raise ValueError(
                    f"--{flag.name} is for the encoder of a text, found --like"
                )
        return Query(
            _TOP_K.value,
            like=_LIKE.value,
            theme=_THEME.value,
            theme_weight=_THEME_WEIGHT.value,
        )
    if _PICTURE.value is not None:
        return Query(
            _TOP_K.value,
            picture=Path(_PICTURE.value),
            theme=_THEME.value,
            theme_weight=_THEME_WEIGHT.value,
        )
    text = _QUERY.value
    if _QUERY_FILE.value is not None:
        text = read_text(Path(_QUERY_FILE.value))
    return Query(
        _TOP_K.value,
        text=text,
        theme=_THEME.value,
        match=cast("Match | None", _MATCH.value),
        theme_weight=_THEME_WEIGHT.value,
    )


if __name__ == "__main__":
    frame.run(main, ends_at_once=True)
