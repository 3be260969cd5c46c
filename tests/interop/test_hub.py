"""Models on the hub: the real library against a stand-in of the hub's HTTP API."""

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.interop import hub_server
from tests.interop.hub_server import Hub, Repository

REPOSITORY = Path(__file__).resolve().parents[2]
FILES = {
    "README.md": b"# A model\n",
    "config.json": b"{}",
    "hm3_jax.json": b"{}",
    "model.safetensors": bytes(range(256)) * 8,
}


@pytest.fixture
def hub() -> Iterator[Hub]:
    with hub_server.running() as running:
        yield running


@pytest.fixture
def model(hub: Hub) -> Repository:
    found = hub.models["ann/museums"] = Repository()
    found.commit({**FILES, "README.md": b"# Before\n"})
    found.tags["v1"] = found.head
    found.commit(FILES | {"pickled.pkl": b"not to be had", "code.py": b"raise"})
    return found


_CALL = """
import json, sys
from pathlib import Path
from hm3_jax.interop import hub
function, arguments, named = json.loads(sys.argv[1])
arguments = [Path(x) if x.startswith("/") else x for x in arguments]
try:
    said = ["returned", str(getattr(hub, function)(*arguments, **named))]
except Exception as error:
    said = [type(error).__name__, str(error)]
print(json.dumps(said))
"""


@pytest.fixture
def ask(hub: Hub, tmp_path: Path):
    """Calls a function of `hm3_jax.interop.hub` in a process of its own.

    The library reads its settings when it is imported. Returns "returned" and what the
    function returned, or the name and text of what it raised.
    """

    def call(function: str, *arguments: object, token: str | None = "hf_ann", **named):
        environment = {k: v for k, v in os.environ.items() if not k.startswith("HF_")}
        environment |= hub.environment(tmp_path / "home", token)
        environment |= {k: named.pop(k) for k in list(named) if k.startswith("HF_")}
        given = json.dumps([function, list(map(str, arguments)), named])
        done = subprocess.run(
            [sys.executable, "-c", _CALL, given],
            env=environment | {"PYTHONPATH": str(REPOSITORY)},
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )
        assert (done.returncode, done.stderr) == (0, ""), done
        return tuple(json.loads(done.stdout))

    return call


def contents(folder: str | Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in Path(folder).iterdir()}


def written(tmp_path: Path, files: dict[str, bytes]) -> Path:
    folder = tmp_path / "written"
    folder.mkdir()
    for name, data in files.items():
        (folder / name).write_bytes(data)
    return folder


@pytest.mark.parametrize("private", [None, True, False])
def test_what_is_pushed_is_what_is_downloaded(hub, ask, tmp_path, private):
    folder = written(tmp_path, FILES)
    assert ask("check_can_push", "ann/new", private=private)[0] == "returned"
    assert hub.models == {}
    said, address = ask("push", folder, "ann/new", private=private)
    model = hub.models["ann/new"]
    assert (said, address) == (
        "returned",
        f"{hub.address}/ann/new/commit/{model.head}",
    )
    assert model.private is bool(private)
    assert len(model.commits) == 2  # that of the making, and one of all files
    assert {name: model.files[name] for name in FILES} == FILES
    said, where = ask("download", "hub:ann/new")
    assert (said, contents(where)) == ("returned", FILES)


def test_a_model_that_is_there_gets_another_commit(hub, ask, model, tmp_path):
    before = len(model.commits)
    folder = written(tmp_path, FILES | {"README.md": b"# Better\n"})
    assert ask("push", folder, "ann/museums", private=None)[0] == "returned"
    assert len(model.commits) == before + 1
    assert model.files["README.md"] == b"# Better\n"
    assert contents(ask("download", "hub:ann/museums@v1")[1])["README.md"] == (
        b"# Before\n"
    )


def test_only_files_that_are_read_are_downloaded(hub, ask, model):
    said, where = ask("download", "hub:ann/museums")
    assert (said, contents(where)) == ("returned", FILES)
    asked = [line for line in hub.requests if "/resolve/" in line]
    assert asked and not any("pkl" in line or ".py" in line for line in asked)


@pytest.mark.parametrize("revision", ["v1", "commit"])
def test_a_revision_is_a_tag_or_a_commit(ask, model, revision):
    wanted = model.tags["v1"] if revision == "commit" else revision
    said, where = ask("download", f"hub:ann/museums@{wanted}")
    assert said == "returned"
    assert contents(where)["README.md"] == b"# Before\n"


def test_what_was_downloaded_is_found_again_without_a_hub(hub, ask, model):
    _, where = ask("download", "hub:ann/museums")
    hub.requests.clear()
    assert ask("download", "hub:ann/museums", HF_HUB_OFFLINE="1")[1] == where
    assert hub.requests == []
    hub.status = 503
    assert ask("download", "hub:ann/museums")[1] == where


REFUSED = {
    "no such model": (
        "hub:ann/nothing",
        "ValueError",
        "hub:ann/nothing: expected a model on the hub, found none of this name that",
    ),
    "no such revision": (
        "hub:ann/museums@v2",
        "ValueError",
        "hub:ann/museums@v2: expected a revision of this model, found none",
    ),
    "no revision": (
        "hub:ann/museums@",
        "ValueError",
        "hub:ann/museums@: expected a revision behind @, found none",
    ),
    "no user": ("hub:museums", "ValueError", "expected USER/NAME, found 'museums'"),
    "nothing": ("hub:", "ValueError", "hub:: expected USER/NAME, found ''"),
    "a path": ("hub:../museums", "ValueError", "hub:../museums: expected USER/NAME"),
    "too many": ("hub:a/b/c", "ValueError", "expected USER/NAME, found 'a/b/c'"),
    "spaces": ("hub:ann/mu seums", "ValueError", "expected USER/NAME, found: "),
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_cannot_be_downloaded_is_said(ask, model, name):
    source, error, message = REFUSED[name]
    raised, text = ask("download", source)
    assert (raised, message in text, "\n" in text) == (error, True, False), text


@pytest.mark.parametrize("token", [None, "hf_bob"])
def test_a_private_model_is_as_if_absent_to_others(ask, model, token):
    model.private = True
    raised, text = ask("download", "hub:ann/museums", token=token)
    assert raised == "ValueError"
    assert "found none of this name that you may read (a private one takes hf" in text
    assert ask("download", "hub:ann/museums")[0] == "returned"


@pytest.mark.parametrize("token", [None, "hf_bob"])
def test_a_gated_model_says_so(ask, model, token):
    model.gated = True
    raised, text = ask("download", "hub:ann/museums", token=token)
    assert raised == "ValueError"
    assert "found one whose owner must grant access first" in text


@pytest.mark.parametrize(
    ("status", "environment", "why"),
    [
        (500, {}, "the hub cannot be used: Server error '500"),
        (None, {"HF_HUB_OFFLINE": "1"}, "cannot be used: HF_HUB_OFFLINE is set"),
        (None, {"HF_ENDPOINT": "http://127.0.0.1:9"}, "the hub cannot be used: "),
    ],
)
def test_a_hub_that_cannot_be_used(hub, ask, model, tmp_path, status, environment, why):
    hub.status = status
    raised, text = ask("download", "hub:ann/museums", **environment)
    assert raised == "FileNotFoundError"
    assert text.startswith("hub:ann/museums: not complete in the cache, and the hub")
    assert why in text and "\n" not in text
    for function, first in (
        ("check_can_push", "ann/museums"),
        ("push", written(tmp_path, FILES)),
    ):
        arguments = [first] if function == "check_can_push" else [first, "ann/museums"]
        raised, text = ask(function, *arguments, private=None, **environment)
        assert raised == "ConnectionError"
        assert text.startswith("hub:ann/museums: the hub ") and "\n" not in text


@pytest.mark.parametrize("token", [None, "hf_nobody"])
def test_who_is_not_logged_in_is_told_before_the_work(ask, model, token):
    found = ask("check_can_push", "ann/museums", token=token, private=None)
    assert found == (
        "ValueError",
        "hub:ann/museums: expected to be logged in to the hub, found no valid login "
        "(hf auth login, or HF_TOKEN)",
    )


@pytest.mark.parametrize("name", ["ann/museums", "ann/new"])
def test_what_belongs_to_others_cannot_be_pushed_to(hub, ask, model, tmp_path, name):
    before = model.head
    raised, text = ask(
        "push",
        written(tmp_path, FILES),
        name,
        token="hf_bob",
        private=None,
    )
    assert (raised, text) == (
        "ValueError",
        f"hub:{name}: expected a model that you may write, found that your login may "
        "not",
    )
    assert (list(hub.models), model.head) == (["ann/museums"], before)


@pytest.mark.parametrize("is_private", [True, False])
def test_a_model_is_not_made_public_or_private_by_the_way(ask, model, is_private):
    model.private = is_private
    for private in (is_private, None):
        said, _ = ask("check_can_push", "ann/museums", private=private)
        assert said == "returned"
    wanted, found = ("public", "private") if is_private else ("private", "public")
    assert ask("check_can_push", "ann/museums", private=not is_private) == (
        "ValueError",
        f"hub:ann/museums: expected a {wanted} model, as asked for, found a {found} "
        "one of this name",
    )


@pytest.mark.parametrize("name", ["museums", "hub:ann/museums", "ann/museums@v1"])
def test_a_wrong_name_to_push_to(ask, name):
    raised, text = ask("check_can_push", name, private=None)
    assert raised == "ValueError"
    assert text.startswith(f"--push_to_hub={name}: expected USER/NAME, found")


def test_without_the_library_it_says_what_to_install():
    code = (
        "import sys; sys.modules['huggingface_hub'] = None\n"
        "from hm3_jax.interop import hub\n"
        "try: hub.download('hub:ann/museums')\n"
        "except ModuleNotFoundError as error: print(error)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code],
        env=os.environ | {"PYTHONPATH": str(REPOSITORY)},
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout == (
        "models on the hub need huggingface_hub: bash launch/setup.sh core hub\n"
    )
