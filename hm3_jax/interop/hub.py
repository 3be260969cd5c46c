"""Models on the Hugging Face hub, or on another that HF_ENDPOINT names.

Nothing here knows what is in a model; `app.models` and `app.sharing` do. Downloads lie
in the hub library's cache, where HF_HUB_OFFLINE=1 finds them again.
"""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

from hm3_jax.files.extras import how_to_install

PREFIX = "hub:"

# Of what a model's repository may hold, what there is to read.
_FILES = [
    "README.md",
    "config.json",
    "files.json",
    "hm3_jax.json",
    "model.safetensors",
    "pytorch_model.bin",
]


def download(source: str) -> Path:
    """Downloads a model, or finds it in the cache.

    Args:
        source: "hub:USER/NAME" or "hub:USER/NAME@REVISION", a branch, tag or commit.

    Returns:
        Folder with its files, to be read only.

    Raises:
        ValueError: There is no such model or revision, or the user may not read it.
        FileNotFoundError: The hub cannot be reached, and the cache does not have the
            model.
        ConnectionError: The hub failed.
        ModuleNotFoundError: The hub's library is not installed.
    """
    name, at, revision = source.removeprefix(PREFIX).partition("@")
    if at and not revision:
        raise ValueError(f"{source}: expected a revision behind @, found none")
    library = _library()
    _check_name(name, source, library)
    with _clear_errors(source, library):
        folder = library.snapshot_download(
            name, revision=revision or None, allow_patterns=_FILES
        )
    return Path(folder)


def check_can_push(name: str, *, private: bool | None) -> None:
    """Makes sure, before long work, that a model can be pushed.

    Args:
        name: USER/NAME.
        private: As for `push`.

    Raises:
        ValueError: The name is none, nobody is logged in, or there is a public model
            of this name that is to be private, or a private one to be public.
        ConnectionError: The hub cannot be reached, or failed.
        ModuleNotFoundError: The hub's library is not installed.
    """
    library = _library()
    _check_name(name, f"--push_to_hub={name}", library)
    with _clear_errors(PREFIX + name, library):
        api = library.HfApi()
        api.whoami()
        if private is not None and api.repo_exists(name):
            is_private = api.model_info(name).private
            if is_private != private:
                known = {True: "private", False: "public"}
                raise ValueError(
                    f"{PREFIX}{name}: expected a {known[private]} model, as asked for, "
                    f"found a {known[is_private]} one of this name"
                )


def push(folder: Path, name: str, *, private: bool | None) -> str:
    """Puts a folder's files on the hub, in one commit.

    Args:
        folder: With the files.
        name: USER/NAME; made if there is none, else it gets a new commit.
        private: Whether only its owner is to see it; None for what their account has as
            its default, or for what the model there is.

    Returns:
        Address of the commit.

    Raises:
        ValueError: The user may not write it.
        ConnectionError: The hub cannot be reached, or failed.
        ModuleNotFoundError: The hub's library is not installed.
    """
    library = _library()
    with _clear_errors(PREFIX + name, library):
        api = library.HfApi()
        api.create_repo(name, private=private, exist_ok=True)
        commit = api.upload_folder(
            repo_id=name, folder_path=folder, commit_message="Model of hm3_jax"
        )
    return commit.commit_url


def _library() -> ModuleType:
    try:
        import huggingface_hub
        import huggingface_hub.constants
        import huggingface_hub.errors
        import huggingface_hub.utils
    except ModuleNotFoundError:
        raise ModuleNotFoundError(
            f"models on the hub need huggingface_hub: {how_to_install('hub')}"
        ) from None
    if not sys.stderr.isatty():
        huggingface_hub.utils.disable_progress_bars()
    return huggingface_hub


def _check_name(name: str, what: str, library: ModuleType) -> None:
    if name.count("/") != 1:
        raise ValueError(f"{what}: expected USER/NAME, found {name!r}")
    try:
        library.utils.validate_repo_id(name)
    except ValueError as error:
        raise ValueError(f"{what}: expected USER/NAME, found: {error}") from None


@contextlib.contextmanager
def _clear_errors(source: str, library: ModuleType) -> Iterator[None]:
    """Turns what the hub's library raises into one line that says what to do."""
    errors = library.errors
    try:
        yield
    except errors.GatedRepoError:
        raise ValueError(
            f"{source}: expected a model that you may read, found one whose owner must "
            "grant access first"
        ) from None
    except errors.RevisionNotFoundError:
        raise ValueError(
            f"{source}: expected a revision of this model, found none of this name"
        ) from None
    except errors.RepositoryNotFoundError:
        raise ValueError(
            f"{source}: expected a model on the hub, found none of this name that you "
            "may read (a private one takes hf auth login, or HF_TOKEN)"
        ) from None
    except errors.LocalTokenNotFoundError:
        raise _not_logged_in(source) from None
    except errors.LocalEntryNotFoundError as error:
        why = _first_line(error.__cause__ or error)
        if library.constants.HF_HUB_OFFLINE:
            why = "HF_HUB_OFFLINE is set"
        raise FileNotFoundError(
            f"{source}: not complete in the cache, and the hub cannot be used: {why}"
        ) from None
    except errors.HfHubHTTPError as error:
        status = error.response.status_code
        if status == 401:
            raise _not_logged_in(source) from None
        if status == 403:
            raise ValueError(
                f"{source}: expected a model that you may write, found that your "
                "login may not"
            ) from None
        raise ConnectionError(
            f"{source}: the hub refused: {_first_line(error)}"
        ) from None
    except ValueError:
        raise
    except errors.OfflineModeIsEnabled:
        raise ConnectionError(
            f"{source}: the hub cannot be used: HF_HUB_OFFLINE is set"
        ) from None
    except Exception as error:
        # Of the disk: what the network raises names no file.
        if getattr(error, "filename", None) is not None:
            raise
        # Which HTTP client the library uses, and so what a lost connection raises,
        # differs between its releases.
        raise ConnectionError(
            f"{source}: the hub cannot be used: {type(error).__name__}: "
            f"{_first_line(error)}"
        ) from error


def _not_logged_in(source: str) -> ValueError:
    return ValueError(
        f"{source}: expected to be logged in to the hub, found no valid login (hf auth "
        "login, or HF_TOKEN)"
    )


def _first_line(error: BaseException) -> str:
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return lines[0][:200] if lines else type(error).__name__
