"""From pictures, texts and videos to features, by a frozen CLIP model in PyTorch."""
