"""Frozen language models: captions -> token embeddings, and their cache. PyTorch and `transformers` only."""

from imagen.text.cache import Embeddings, ShardEmbeddings, embedding_keys, open_embeddings, write_embeddings
from imagen.text.encoder import Key, TextEncoder, pad
from imagen.text.hashed import HashedWords
from imagen.text.minilm import MiniLM
from imagen.text.transformer import TransformersEncoder

__all__ = [
    "Embeddings",
    "HashedWords",
    "Key",
    "MiniLM",
    "ShardEmbeddings",
    "TextEncoder",
    "TransformersEncoder",
    "embedding_keys",
    "open_embeddings",
    "pad",
    "write_embeddings",
]
