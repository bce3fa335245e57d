"""imagen-prepare: a source of pictures and captions -> a folder of shards, with the captions' embeddings
beside them."""

from omegaconf import DictConfig

from imagen.data.writing import described, write_all_embeddings, write_shards
from imagen.programs.build import build, program


@program("prepare")
def main(cfg: DictConfig) -> None:
    """Write what is not yet written, then say what is there."""
    if cfg.get("source") is None:
        raise ValueError(
            "no source: give source=table source.path=TABLE for your own pictures, or source=shapes"
        )
    source, encoder = build(cfg.source), build(cfg.text) if cfg.embed else None
    index = write_shards(source, cfg.out, cfg.shard_size, cfg.max_bad)
    if encoder is not None:
        write_all_embeddings(cfg.out, encoder.to(cfg.device))
    print(described(cfg.out, index))


if __name__ == "__main__":
    main()
