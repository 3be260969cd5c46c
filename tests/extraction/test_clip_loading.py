"""From a user's choice of model and weights to a loaded model; what is refused."""

import hashlib
import importlib.util
import json
import warnings

import numpy as np
import pytest

from hm3_jax.extraction.clip_choice import ClipChoice, resolve
from hm3_jax.extraction.clip_model import load_clip
from tests.extraction.clips import (
    PLAIN,
    QUICK,
    changed,
    half_like_openai,
    random_clip,
    save_folder,
)

torch = pytest.importorskip("torch", reason="needs torch to run CLIP")
open_clip = pytest.importorskip("open_clip", reason="needs open_clip")

TEXTS = ["A room.", "A very long corridor with sixteen portraits and a clock."]


@pytest.fixture(scope="module", autouse=True)
def small_models(tmp_path_factory):
    """Makes open_clip know the small models Small and Small-quickgelu."""
    from open_clip import factory

    folder = tmp_path_factory.mktemp("models")
    paths, configs = list(factory._MODEL_CONFIG_PATHS), dict(factory._MODEL_CONFIGS)
    for name, config in (("Small", PLAIN), ("Small-quickgelu", QUICK)):
        (folder / f"{name}.json").write_text(json.dumps(config))
    open_clip.add_model_config(folder)
    yield
    factory._MODEL_CONFIG_PATHS[:] = paths
    factory._MODEL_CONFIGS = configs


@pytest.fixture(scope="module")
def quick():
    return random_clip(QUICK)


@pytest.fixture
def know_tag(monkeypatch):
    """Makes open_clip know the weights "tag" of a model, which are in a file."""
    from open_clip import pretrained

    def know(model, path, **facts):
        tag = {"file": str(path), "mean": (0.5,) * 3, "std": (0.5,) * 3, **facts}
        monkeypatch.setitem(pretrained._PRETRAINED, model, {"tag": tag})

    return know


def features(model, texts=TEXTS):
    with torch.no_grad():
        return model.encode_text(open_clip.tokenize(texts)).numpy()


def loaded(choice, **options):
    clip = load_clip(choice, **{"device": "cpu", **options})
    return clip, clip.encode_tokens(clip.tokenize(TEXTS))


def refusal(model, pretrained, error: type[Exception] = ValueError, **options):
    with pytest.raises(error) as info:
        load_clip(ClipChoice(model, pretrained), **{"device": "cpu", **options})
    assert "\n" not in str(info.value)
    return str(info.value)


def plain_state(model):
    return model.state_dict()


def wrapped(model):
    return {"epoch": 3, "state_dict": model.state_dict()}


def from_many_gpus(model):
    state = model.state_dict()
    return {"state_dict": {f"module.{name}": state[name] for name in state}}


def clip4clip(model):
    """As CLIP4Clip's fine-tuning saves it: its own parts beside CLIP's."""
    state = {f"clip.{name}": value for name, value in model.state_dict().items()}
    return state | {"frame_position_embeddings.weight": torch.zeros(77, 24)}


def openai(model):
    facts = {"input_resolution": 32, "context_length": 77, "vocab_size": 49408}
    numbers = {name: torch.tensor(value) for name, value in facts.items()}
    return half_like_openai(model.state_dict()) | numbers


@pytest.mark.parametrize(
    ("layout", "suffix"),
    [
        (plain_state, "pt"),
        (plain_state, "safetensors"),
        (wrapped, "pth"),
        (from_many_gpus, "pt"),
        (clip4clip, "bin.2"),
        (clip4clip, "safetensors"),
        (openai, "pt"),
        (openai, "safetensors"),
    ],
)
def test_files_of_weights(tmp_path, quick, layout, suffix):
    path = tmp_path / f"weights.{suffix}"
    values = layout(quick)
    if suffix == "safetensors":
        from safetensors.torch import save_file

        save_file(values, path)
    else:
        torch.save(values, path)
    expected = features(quick)
    if layout is openai:
        again = random_clip(QUICK, seed=1)
        again.load_state_dict(half_like_openai(quick.state_dict()))
        expected = features(again)
    clip, found = loaded(ClipChoice("Small-quickgelu", str(path)))
    np.testing.assert_allclose(found, expected, atol=1e-5)
    facts = clip.facts()
    assert facts["weights"] == path.name
    assert facts["weights_sha256"] == hashlib.sha256(path.read_bytes()).hexdigest()
    assert (facts["model"], facts["activation"]) == ("Small-quickgelu", "QuickGELU")


@pytest.fixture(scope="module")
def archive(tmp_path_factory, quick):
    """OpenAI's form: a TorchScript archive with facts among the weights."""
    path = tmp_path_factory.mktemp("openai") / "ViT.pt"
    model = random_clip(QUICK)
    model.load_state_dict(quick.state_dict())
    mask = model.attn_mask
    del model.attn_mask, model.context_length
    model.attn_mask = mask  # a constant there, which is no part of the weights
    for name, value in (("input_resolution", 32), ("context_length", 77)):
        model.register_buffer(name, torch.tensor(value))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        inputs = {"encode_text": open_clip.tokenize(TEXTS)}
        torch.jit.save(torch.jit.trace_module(model, inputs), path)
    return path


def test_archives_of_openai(archive, quick):
    _, found = loaded(ClipChoice("Small-quickgelu", str(archive)))
    np.testing.assert_allclose(found, features(quick), atol=1e-5)


@pytest.mark.parametrize(("layout", "name"), [(clip4clip, "CLIP4Clip"), (openai, "Op")])
def test_the_wrong_activation_is_refused(tmp_path, quick, layout, name):
    torch.save(layout(quick), tmp_path / "weights.pt")
    message = refusal("Small", str(tmp_path / "weights.pt"))
    assert name in message and "model Small has GELU" in message
    assert message.endswith("use Small-quickgelu")


def test_the_wrong_activation_of_an_archive_is_refused(archive):
    assert "OpenAI weights were trained with" in refusal("Small", str(archive))


def test_weights_that_do_not_say_their_activation_are_warned_about(tmp_path, quick):
    path = tmp_path / "weights.pt"
    torch.save(quick.state_dict(), path)
    with pytest.warns(UserWarning, match="does not say which.*use Small-quickgelu"):
        clip, found = loaded(ClipChoice("Small", str(path)))
    # Nobody notices by looking at them.
    assert clip.facts()["activation"] == "GELU"
    difference = np.abs(found - features(quick)).max()
    assert 1e-4 < difference < 1


def test_tags_that_open_clip_knows(tmp_path, quick, know_tag):
    path = tmp_path / "weights.pt"
    torch.save(quick.state_dict(), path)
    know_tag("Small-quickgelu", path, quick_gelu=True, interpolation="bilinear")
    clip, found = loaded(ClipChoice("Small-quickgelu", "tag"))
    np.testing.assert_allclose(found, features(quick), atol=1e-5)
    facts = clip.facts()
    assert facts["weights"] == "tag"
    assert facts["preprocessing"]["mean"] == [0.5, 0.5, 0.5]
    assert facts["preprocessing"]["interpolation"] == "bilinear"
    assert facts["preprocessing"]["size"] == [32, 32]


def test_tags_of_another_activation_are_refused(tmp_path, know_tag):
    know_tag("Small", tmp_path / "none.pt", quick_gelu=True)
    assert refusal("Small", "tag") == (
        "the pretrained weights tag were trained with QuickGELU, the model Small has "
        "GELU: use Small-quickgelu"
    )
    know_tag("Small-quickgelu", tmp_path / "none.pt")
    assert refusal("Small-quickgelu", "tag").endswith("has QuickGELU: use Small")


@pytest.mark.parametrize("model", ["ViT-B-32", "RN50", "ViT-L-14-336"])
def test_openai_without_quickgelu_is_refused(model):
    assert refusal(model, "openai").endswith(f"use {model}-quickgelu")


def test_weights_that_cannot_be_downloaded(monkeypatch, know_tag):
    know_tag("Small", "unused")

    def fail(tag):
        raise OSError("no network\nat all")

    monkeypatch.setattr(open_clip, "download_pretrained", fail)
    message = refusal("Small", "tag", FileNotFoundError)
    assert (
        "Small tag: expected to download the weights, found OSError: no ne" in message
    )
    assert "--pretrained names a file or folder" in message


def test_models_of_the_hub(tmp_path, monkeypatch, quick):
    from open_clip import factory, pretrained

    folder = save_folder(tmp_path, QUICK, quick, {"mean": [0.1, 0.2, 0.3]})

    def fetch(name, filename=None, **_):
        assert name == "owner/name"
        return str(folder / (filename or "open_clip_model.safetensors"))

    for module in (factory, pretrained):
        monkeypatch.setattr(module, "download_pretrained_from_hf", fetch)
    clip, found = loaded(ClipChoice("hf-hub:owner/name", None))
    np.testing.assert_allclose(found, features(quick), atol=1e-5)
    facts = clip.facts()
    assert (facts["model"], facts["weights"]) == ("hf-hub:owner/name", "owner/name")
    assert facts["preprocessing"]["mean"] == [0.1, 0.2, 0.3]
    assert "contradict" in refusal("hf-hub:owner/name", "openai")


def test_folders_say_which_model_they_are(tmp_path, quick):
    known = save_folder(tmp_path / "known", QUICK, quick)
    assert resolve(ClipChoice(None, str(known))).name == "Small-quickgelu"
    clip, found = loaded(ClipChoice("Small-quickgelu", str(known)))
    np.testing.assert_allclose(found, features(quick), atol=1e-5)
    other = changed(QUICK, vision={"patch_size": 16})
    custom = save_folder(tmp_path / "custom", other, random_clip(other))
    name = resolve(ClipChoice(None, str(custom))).name
    assert name.startswith("custom-")
    (tmp_path / "custom").rename(tmp_path / "moved")
    assert resolve(ClipChoice(None, str(tmp_path / "moved"))).name == name
    message = refusal("Small-quickgelu", str(tmp_path / "moved"))
    assert "expected the architecture of the model Small-quickgelu, found" in message


def test_weights_in_folders(tmp_path, quick):
    folder = save_folder(tmp_path, QUICK, quick)
    torch.save(clip4clip(quick), folder / "tuned.bin")
    named = resolve(ClipChoice(None, str(folder)))
    assert named.weights == "open_clip_model.safetensors"
    (folder / "open_clip_model.safetensors").unlink()
    assert loaded(ClipChoice(None, str(folder)))[0].facts()["weights"] == "tuned.bin"
    torch.save({}, folder / "other.pt")
    message = refusal(None, str(folder), FileNotFoundError)
    assert message.endswith("found other.pt, tuned.bin")


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("{", "Expecting property name"),
        ("[]", "TypeError"),
        ('{"model_cfg": {"embed_dim": 4}}', "KeyError: 'vision_cfg'"),
    ],
)
def test_bad_settings_of_folders_are_refused(tmp_path, text, found):
    (tmp_path / "open_clip_config.json").write_text(text)
    message = refusal(None, str(tmp_path))
    assert "expected JSON" in message and found in message


def test_architectures_that_cannot_be_built_are_refused(tmp_path, quick):
    folder = save_folder(tmp_path, changed(QUICK, vision={"colour": 1}), quick)
    assert "found TypeError" in refusal(None, str(folder))


@pytest.mark.parametrize(
    ("model", "pretrained", "error", "message"),
    [
        ("ViT-B-33", "openai", ValueError, "expected a model that open_clip knows"),
        ("Small", None, ValueError, "expected pretrained weights for the model Small"),
        ("Small", "", ValueError, "found none"),
        ("Small", "no/file", ValueError, "one of the tags none; found 'no/file'"),
        ("ViT-B-32", "opanai", ValueError, "laion2b_s34b_b79k"),
        (None, "no/folder", ValueError, "as no model is named; found no such folder"),
        (None, __file__, ValueError, "as no model is named; found a file"),
    ],
)
def test_unknown_names_are_refused(model, pretrained, error, message):
    assert message in refusal(model, pretrained, error)


def test_empty_folders_are_refused(tmp_path):
    message = refusal(None, str(tmp_path), FileNotFoundError)
    assert message.startswith(f"{tmp_path / 'open_clip_config.json'}: expected")


def hugging_face(model):
    return {"vision_model.embeddings.class_embedding": torch.zeros(4)}


def too_few(model):
    return {"logit_scale": torch.zeros(())}


def too_long(model):
    return random_clip(changed(QUICK, text={"context_length": 100})).state_dict()


def too_large(model):
    return random_clip(changed(QUICK, vision={"image_size": 64})).state_dict()


def too_wide(model):
    return random_clip(changed(QUICK, text={"width": 64})).state_dict()


def no_tensors(model):
    return {"a": 1}


def no_dict(model):
    return [torch.zeros(2)]


def hostile(model):
    return {"a": Surprise()}


class Surprise:
    def __reduce__(self):
        return print, ("this should not run",)


@pytest.mark.parametrize(
    ("values", "message"),
    [
        (hugging_face, "found Hugging Face's"),
        (too_few, "Missing key"),
        (too_long, "with a positional_embedding of shape (77, 32), found (100, 32)"),
        (too_large, "visual.positional_embedding of shape (17, 32), found (65, 32)"),
        (too_wide, "positional_embedding of shape (77, 32), found (77, 64)"),
        (no_tensors, "expected a dict of named tensors"),
        (no_dict, "expected a dict of named tensors"),
        (hostile, "of another kind"),
    ],
)
def test_other_things_than_the_models_weights_are_refused(
    tmp_path, quick, capsys, values, message
):
    path = tmp_path / "weights.pt"
    torch.save(values(quick), path)
    found = refusal("Small-quickgelu", str(path))
    assert found.startswith(str(path)) and message in found
    assert capsys.readouterr().out == ""


@pytest.mark.parametrize("suffix", ["pt", "safetensors"])
@pytest.mark.parametrize("kept", [0, 10, 1000, -1000])
def test_damaged_weights_are_refused(tmp_path, quick, suffix, kept):
    path = save_folder(tmp_path, QUICK, quick) / "open_clip_model.safetensors"
    if suffix == "pt":
        torch.save(quick.state_dict(), path)
    damaged = tmp_path / f"damaged.{suffix}"
    damaged.write_bytes(path.read_bytes()[:kept])
    message = refusal("Small-quickgelu", str(damaged))
    assert message.startswith(f"{damaged}: expected a whole file of weights")


@pytest.mark.parametrize("suffix", ["pt", "safetensors"])
@pytest.mark.parametrize(
    ("content", "found"),
    [
        (
            b"version https://git-lfs.github.com/spec/v1\noid sha256:1\nsize 6\n",
            "a git-lfs pointer to it: fetch the file itself (git lfs pull)",
        ),
        (b"\xef\xbb\xbf\r\n<!doctype HTML><html>Sign in</html>", "an HTML page"),
        (b"<html><body>404</body></html>", "an HTML page"),
        (b'{"error":"Repository not found"}', "a server's answer in JSON or XML"),
    ],
)
def test_what_stands_in_the_place_of_weights_is_named(tmp_path, suffix, content, found):
    path = tmp_path / f"weights.{suffix}"
    path.write_bytes(content)
    message = refusal("Small-quickgelu", str(path))
    assert message.startswith(
        f"{path}: expected a whole file of weights, found {found}"
    )


@pytest.mark.parametrize("content", [b"Not found", b"\x80\x02not a pickle", None])
def test_nobody_is_told_to_switch_safety_off(tmp_path, content):
    path = tmp_path / "weights.pt"
    if content is None:
        torch.save(hostile(None), path)
    else:
        path.write_bytes(content)
    message = refusal("Small-quickgelu", str(path))
    assert "a pickle of other things than tensors, or none" in message
    assert "weights_only" not in message and "Weights only" not in message


def test_loading_says_nothing(tmp_path, quick, caplog, capsys):
    folder = save_folder(tmp_path, QUICK, quick)
    loaded(ClipChoice(None, str(folder)))
    assert (caplog.text, *capsys.readouterr()) == ("", "", "")


def test_devices_and_precisions(tmp_path, quick):
    folder = str(save_folder(tmp_path, QUICK, quick))
    assert "found 'abacus'" in refusal(None, folder, device="abacus")
    clip, exact = loaded(ClipChoice(None, folder))
    assert clip.precision == "float32"
    clip, rough = loaded(ClipChoice(None, folder, "bf16"))
    assert clip.precision == "bf16" and rough.dtype == np.float32
    assert 0 < np.abs(rough - exact).max() < 0.1
    with pytest.raises(ValueError, match="fp16 is for a GPU, found the device cpu"):
        loaded(ClipChoice(None, folder, "fp16"))
    with pytest.raises(ValueError, match="float32, bf16, fp16, auto, found 'int4'"):
        ClipChoice("Small", "tag", "int4")  # pyright: ignore[reportArgumentType]


@pytest.mark.parametrize("model", ["ViT-B-16-SigLIP", "xlm-roberta-base-ViT-B-32"])
def test_tokenizers_of_others_say_what_they_need(tmp_path, monkeypatch, model):
    (tmp_path / "weights.pt").touch()
    find = importlib.util.find_spec
    hidden = {"transformers"}
    monkeypatch.setattr(
        importlib.util, "find_spec", lambda name: None if name in hidden else find(name)
    )
    message = refusal(model, str(tmp_path / "weights.pt"), ModuleNotFoundError)
    assert message.startswith(f"the model {model} reads texts with Hugging Face's")
    assert "bash launch/setup.sh core extraction" in message


def test_inputs_of_another_shape_are_refused(tmp_path, quick):
    clip, _ = loaded(ClipChoice(None, str(save_folder(tmp_path, QUICK, quick))))
    with pytest.raises(ValueError, match=r"\(n, 3, 32, 32\), found \(1, 3, 32, 31\)"):
        clip.encode_pictures(np.zeros((1, 3, 32, 31), np.float32))
    with pytest.raises(ValueError, match=r"\(n, 77\), found \(1, 76\)"):
        clip.encode_tokens(np.zeros((1, 76), np.int64))
    assert clip.encode_pictures(np.zeros((0, 3, 32, 32), np.float32)).shape == (0, 24)
    assert clip.encode_tokens(np.zeros((0, 77), np.int64)).shape == (0, 24)
