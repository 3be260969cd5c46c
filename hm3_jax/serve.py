r"""Serves an index as a web page and an HTTP API.

The page searches by text, words, picture, theme and similarity. It shows what answers
each sentence, and a map of the collection; --museums gives it titles, descriptions and
pictures. /openapi.json describes the API, and /metrics has figures for Prometheus.
SIGTERM and Ctrl-C stop the server after it has answered pending requests.

Anyone who can reach the address can search; by default, only this machine can. Requests
must name localhost, --host or one of --allowed_hosts as their host, so pages of other
sites cannot read the server's answers.

With --uri, the museums are in Qdrant, where build_index --uri has copied them.

  python -m hm3_jax.serve --index=INDEX --port=8080 --museums=museums.jsonl
"""

from pathlib import Path
from typing import cast

from absl import flags

from hm3_jax.cli import engine_flags, frame, path_flags
from hm3_jax.retrieval.server.collection import Match

_INDEX = path_flags.define_path(
    "index", None, "Index made by build_index.", required=True
)
_PORT = flags.DEFINE_integer(
    "port", 8080, "Port to listen on; 0 takes a free one.", 0, 65535
)
_HOST = flags.DEFINE_string(
    "host",
    "127.0.0.1",
    "Address to listen on; 0.0.0.0 listens on all of this machine's addresses.",
)
_MUSEUMS = path_flags.define_path(
    "museums", None, "Museum list with titles, descriptions and pictures."
)
_INPUT_ROOT = path_flags.define_path(
    "input_root", None, "Folder of the list's pictures, if not the list's own."
)
_PRETRAINED = path_flags.define_path(
    "pretrained",
    None,
    "Weights of the text encoder (tag, file or folder), if they are not where the "
    "index says.",
)
_DEVICE = flags.DEFINE_string(
    "device", "auto", "PyTorch device of the text encoder, such as cpu or cuda:0."
)
_MATCH = flags.DEFINE_enum(
    "match",
    None,
    ["pictures", "words", "both"],
    "What to search if a request does not say: pictures, the words written about "
    "museums, or both; both if not given and there are descriptions.",
)
_ALLOWED_HOSTS = flags.DEFINE_list(
    "allowed_hosts",
    [],
    "Other names by which browsers reach this server, such as a proxy's; * for all.",
)
_ROOT_PATH = flags.DEFINE_string(
    "root_path", "", "Path at which a proxy offers this server, such as /museums."
)
_FORWARDED_ALLOW_IPS = flags.DEFINE_list(
    "forwarded_allow_ips",
    [],
    "Addresses of proxies whose X-Forwarded-For and X-Forwarded-Proto are trusted.",
)
flags.adopt_module_key_flags(engine_flags)


def main() -> None:
    """Reads the flags and serves."""
    if _INPUT_ROOT.present and _MUSEUMS.value is None:
        raise ValueError("--input_root is for pictures of --museums, found none")
    engine = engine_flags.given_engine()
    from hm3_jax.app.serving import ServeSettings, serve
    from hm3_jax.learn.devices.compilation_cache import keep_compiled_programs
    from hm3_jax.learn.devices.memory import take_as_needed

    take_as_needed()
    keep_compiled_programs()
    serve(
        ServeSettings(
            index=Path(_INDEX.value),
            host=_HOST.value,
            port=_PORT.value,
            museums=_path(_MUSEUMS),
            input_root=_path(_INPUT_ROOT),
            pretrained=_PRETRAINED.value,
            device=_DEVICE.value,
            engine=engine,
            match=cast("Match | None", _MATCH.value),
            allowed_hosts=_ALLOWED_HOSTS.value,
            root_path=_ROOT_PATH.value,
            forwarded_allow_ips=_FORWARDED_ALLOW_IPS.value,
        )
    )


def _path(flag: flags.FlagHolder[str | None]) -> Path | None:
    return None if flag.value is None else Path(flag.value)


if __name__ == "__main__":
    frame.run(main, ends_at_once=True)
