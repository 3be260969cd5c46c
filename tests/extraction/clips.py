"""Small CLIP models with random weights, for tests."""

import copy
import json
from pathlib import Path

QUICK = {
    "embed_dim": 24,
    "quick_gelu": True,
    "vision_cfg": {
        "image_size": 32,
        "layers": 2,
        "width": 32,
        "head_width": 16,
        "patch_size": 8,
    },
    "text_cfg": {
        "context_length": 77,
        "vocab_size": 49408,
        "width": 32,
        "heads": 2,
        "layers": 2,
    },
}
PLAIN = {key: value for key, value in QUICK.items() if key != "quick_gelu"}


def changed(config, *, text=None, vision=None, **others):
    """A copy of settings with some of them changed."""
    config = copy.deepcopy(config) | others
    config["text_cfg"].update(text or {})
    config["vision_cfg"].update(vision or {})
    return config


def random_clip(config, seed=0):
    """A model of open_clip's with random weights.

    Its sentences differ more than those of a fresh model, which are nearly one, so that
    mixing them up would show.
    """
    import open_clip
    import torch

    torch.manual_seed(seed)
    config = copy.deepcopy(config)
    kind = open_clip.CLIP
    if config.pop("custom_text", False):
        captions = "multimodal_cfg" in config
        kind = open_clip.CoCa if captions else open_clip.CustomTextCLIP
    model = kind(**config)
    with torch.no_grad():
        for name, value in model.named_parameters():
            if "embedding" in name:
                value.normal_(std=0.5)
            if name.endswith("bias"):
                value.normal_(std=0.1)
    return model.eval().requires_grad_(False)


def save_folder(folder: Path, config, model, preprocessing=None) -> Path:
    """Writes a local folder as open_clip's hub models have it."""
    from safetensors.torch import save_file

    folder.mkdir(parents=True, exist_ok=True)
    settings = {"model_cfg": config, "preprocess_cfg": preprocessing or {}}
    (folder / "open_clip_config.json").write_text(json.dumps(settings))
    state = {name: value.contiguous() for name, value in model.state_dict().items()}
    save_file(state, folder / "open_clip_model.safetensors")
    return folder


def half_like_openai(state):
    """Weights as OpenAI stores them: half precision but for norms and embeddings."""
    kept = ("ln_", "embedding", "logit_scale")
    return {
        name: value.clone() if any(part in name for part in kept) else value.half()
        for name, value in state.items()
    }
