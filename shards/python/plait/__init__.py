# SPDX-License-Identifier: Apache-2.0
"""Reads plait's training shards.

``Dataset`` gives any sample by number or key; ``Stream`` gives an epoch in a shuffled order that does not depend on how many
ranks and workers share it, and that resumes from one integer.

    import plait

    data = plait.Dataset("out/llava-align")
    print(len(data), data[0].document.text())

    stream = plait.Stream("out/llava-align", batch_size=256, seed=1, batches=True, decode=plait.Decode(224))
    for epoch in range(3):
        stream.set_epoch(epoch)
        for batch in stream:
            train(batch.pixels, [s.document.text() for s in batch])
"""
from ._dataset import Dataset, Shard
from ._decode import Decode, decode_image
from ._document import Document, Image, Text
from ._plait import DamagedError, Error
from ._sample import Batch, Sample, collate
from ._stream import Stream, global_state

__all__ = ["Batch", "DamagedError", "Dataset", "Decode", "Document", "Error", "Image", "Sample", "Shard", "Stream", "Text",
           "collate", "decode_image", "global_state"]
__version__ = "0.1.0"
