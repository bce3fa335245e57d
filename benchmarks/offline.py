"""Lets imagen-pytorch 2.1.0 be imported where there is no torchvision (a machine without a GPU) and no hub.

Two stand-ins, for as long as the import takes; no measured line runs through either:
* `torchvision.transforms`: imported at the top of its modules, used only in its data sets and to make PIL
  images. Here it is an empty module.
* the width of its default text encoder: the signature of its `Unet` asks the hub for the configuration of
  google/t5-v1_1-base. Here transformers' `T5Config.from_pretrained` answers with that encoder's width, 768.
  The benchmark gives every U-Net its text width explicitly.
"""

import contextlib
import importlib.util
import io
import sys
import warnings
from types import ModuleType
from unittest import mock

# before the stand-in: these look for torchvision, and would take it for the real one
import accelerate  # noqa: F401
import datasets  # noqa: F401
import kornia.augmentation  # noqa: F401
from transformers import T5Config

STAND_IN = importlib.util.find_spec("torchvision") is None

if STAND_IN:
    transforms = ModuleType("torchvision.transforms")
    torchvision = ModuleType("torchvision")
    vars(torchvision)["transforms"] = transforms
    sys.modules |= {"torchvision": torchvision, "torchvision.transforms": transforms}

with (
    mock.patch.object(T5Config, "from_pretrained", return_value=T5Config(d_model=768)),
    contextlib.redirect_stdout(io.StringIO()),
    warnings.catch_warnings(),
):
    warnings.simplefilter("ignore")
    import imagen_pytorch

if STAND_IN:
    del sys.modules["torchvision"], sys.modules["torchvision.transforms"]

__all__ = ["imagen_pytorch"]
