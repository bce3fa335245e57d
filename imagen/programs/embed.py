"""imagen-embed: the captions of a folder of shards -> their embeddings by a frozen encoder, beside the shards."""

from pathlib import Path

from omegaconf import DictConfig

from imagen.data.prepare.embedding import embed
from imagen.files import size_in_words
from imagen.programs.build import build, program
from imagen.programs.prepare import devices_of
from imagen.text import embedding_keys


@program("embed", data="data.path")
def main(cfg: DictConfig) -> None:
    """Embed what has no embeddings yet, then say what is there."""
    devices, folder = devices_of(cfg.device), Path(cfg.data.path)
    encoders = [build(cfg.text).to(device) for device in devices]
    captions = embed(cfg.data.path, encoders, cache=build(cfg.cache))
    key = encoders[0].key
    (where,) = (path for path, stored in embedding_keys(folder).items() if stored == key)
    size = sum(file.stat().st_size for file in where.glob("*.safetensors"))
    padded = captions * key["max_length"] * key["dim"] * 4
    print(
        f"{where}: {captions} captions, {size_in_words(size)}; padded float32 would be {padded / size:.0f} times that"
    )


if __name__ == "__main__":
    main()
