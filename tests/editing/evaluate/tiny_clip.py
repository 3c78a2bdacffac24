"""A CLIP of random weights, a few hundred kilobytes, written to a folder: nothing is downloaded."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

IMAGE_PX, MAX_WORDS, DIM = 32, 24, 16


def write_tiny_clip(folder: Path) -> Path:
    import torch
    from transformers import CLIPConfig, CLIPModel, CLIPTextConfig, CLIPTokenizer, CLIPVisionConfig

    torch.manual_seed(0)
    words = folder.parent / f"{folder.name}_words"
    words.mkdir(parents=True)
    letters = "abcdefghijklmnopqrstuvwxyz"
    vocabulary = [*letters, *(f"{letter}</w>" for letter in letters), "<|startoftext|>", "<|endoftext|>"]
    (words / "vocab.json").write_text(json.dumps({word: k for k, word in enumerate(vocabulary)}), encoding="utf-8")
    (words / "merges.txt").write_text("#version: 0.2\n", encoding="utf-8")
    tokenizer = CLIPTokenizer(str(words / "vocab.json"), str(words / "merges.txt"), model_max_length=MAX_WORDS)
    small = {"hidden_size": 16, "intermediate_size": 32, "num_hidden_layers": 2, "num_attention_heads": 2, "projection_dim": DIM}
    end = len(vocabulary) - 1
    text = CLIPTextConfig(
        vocab_size=len(vocabulary), max_position_embeddings=MAX_WORDS, bos_token_id=end - 1, eos_token_id=end, pad_token_id=end, **small
    )
    vision = CLIPVisionConfig(image_size=IMAGE_PX, patch_size=8, **small)
    CLIPModel(CLIPConfig(text_config=text.to_dict(), vision_config=vision.to_dict(), projection_dim=DIM)).save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder
