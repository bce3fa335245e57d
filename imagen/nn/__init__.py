"""The networks. They know tensors only: (z, logsnr, context, lowres, lowres_logsnr) -> what the denoiser asks
for."""

from imagen.nn.efficient_unet import EfficientUNet
from imagen.nn.text import TextConditioner, TextContext
from imagen.nn.unet import UNet

NETWORKS = {"UNet": UNet, "EfficientUNet": EfficientUNet}

__all__ = ["NETWORKS", "EfficientUNet", "TextConditioner", "TextContext", "UNet"]
