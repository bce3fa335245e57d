"""The peers: diffusers with DeepFloyd IF's blocks, and imagen-pytorch, at our widths and on our pictures.

Each as its own defaults have it: contiguous memory (channels-last is an extra), its own loss, its own way of
guiding, the C library's own memory settings; in float32, and in bfloat16 by autocast. Extras: channels-last, and `kept`, our
memory settings. Guided sampling is both halves of the network and their combination; thresholding is left
out for the peers, a few milliseconds in their favour. diffusers gets no mask, as in its IF pipelines.
"""

import contextlib
import io
import warnings

import torch
import torch.nn.functional as F
from measure import Contestant
from offline import imagen_pytorch as ip
from setting import GUIDANCE, TEXT_DIM, Setting, precision, tail
from torch import Tensor, nn

from imagen.programs.allocation import keep_large_blocks

with warnings.catch_warnings():
    warnings.simplefilter("ignore")
    from diffusers import DDPMScheduler, UNet2DConditionModel

# What DeepFloyd IF's configurations share (diffusers' scripts/convert_if.py)
IF = {
    "out_channels": 6,
    "mid_block_type": "UNetMidBlock2DSimpleCrossAttn",
    "attention_head_dim": 64,
    "cross_attention_dim": 256,  # IF: the width of the last level
    "encoder_hid_dim": TEXT_DIM,
    "encoder_hid_dim_type": "text_proj",
    "addition_embed_type": "text",
    "addition_embed_type_num_heads": 64,
    "cross_attention_norm": "group_norm",
    "resnet_time_scale_shift": "scale_shift",
    "act_fn": "gelu",
}
# IF-I-M is width 192 = 3 x this: multipliers 1,2,3,4, three blocks, attention at 32, 16, 8
IF_BASE = IF | {
    "sample_size": 64,
    "in_channels": 3,
    "block_out_channels": (64, 128, 192, 256),
    "layers_per_block": 3,
    "down_block_types": ("ResnetDownsampleBlock2D", *["SimpleCrossAttnDownBlock2D"] * 3),
    "up_block_types": (*["SimpleCrossAttnUpBlock2D"] * 3, "ResnetUpsampleBlock2D"),
}
# IF-II: text cross-attention only, 1/sqrt(2) skips, the augmentation level as a class
IF_SUPER_RESOLUTION = IF | {
    "sample_size": 256,
    "in_channels": 6,
    "block_out_channels": (32, 64, 128, 256),
    "layers_per_block": (2, 4, 8, 8),
    "down_block_types": (*["ResnetDownsampleBlock2D"] * 3, "SimpleCrossAttnDownBlock2D"),
    "up_block_types": ("SimpleCrossAttnUpBlock2D", *["ResnetUpsampleBlock2D"] * 3),
    "class_embed_type": "timestep",
    "time_embedding_dim": 256,
    "time_embedding_act_fn": "gelu",
    "resnet_skip_time_act": True,
    "resnet_out_scale_factor": 1 / 0.7071,
    "mid_block_scale_factor": 1 / 0.7071,
    "only_cross_attention": True,
}


def parameters(net: nn.Module) -> int:
    """How many numbers are trained."""
    return sum(p.numel() for p in net.parameters())


def diffusers(
    name: str,
    network: str,
    config: dict,
    s: Setting,
    bf16: bool = False,
    channels_last: bool = False,
    kept: bool = False,
) -> Contestant:
    """A U-Net of diffusers. Training: squared error of the noise (its variance channels unused, as in its
    training scripts). Guided: the batch doubled, as in its IF pipelines."""
    if kept:
        keep_large_blocks()
    layout = torch.channels_last if channels_last else torch.contiguous_format
    net = UNet2DConditionModel(**config).to(memory_format=layout)
    scheduler = DDPMScheduler(beta_schedule="squaredcos_cap_v2")
    optimizer = torch.optim.AdamW(net.parameters(), lr=1e-4, fused=True)
    time = (s.t * 999).long()
    level = None if s.level is None else (s.level * 999).long()
    doubled_text = torch.cat([torch.zeros_like(s.text), s.text])

    def given(z: Tensor) -> Tensor:
        z = z if s.lowres is None else torch.cat([z, s.lowres], dim=1)
        return z.contiguous(memory_format=layout)

    def train() -> None:
        z = given(scheduler.add_noise(s.x, s.noise, time))
        with precision(bf16):
            out = net(z, time, s.text, class_labels=level, return_dict=False)[0]
            loss = F.mse_loss(out[:, :3], s.noise)
        loss.backward()
        optimizer.step()
        optimizer.zero_grad()

    @torch.no_grad()
    def sample() -> Tensor:
        z = given(s.noise)
        labels = None if level is None else level.repeat(2)
        with precision(bf16):
            out = net(torch.cat([z, z]), time[0], doubled_text, class_labels=labels, return_dict=False)[0]
        without, with_text = out[:, :3].chunk(2)
        return without + GUIDANCE * (with_text - without)

    return Contestant(
        name + tail(bf16=bf16, channels_last=channels_last, kept=kept),
        "diffusers",
        network,
        parameters(net),
        {"train": train, "sample": sample},
        "bf16" if bf16 else "float32",
        not (channels_last or kept),
    )


def imagen_pytorch(
    name: str, network: str, s: Setting, bf16: bool = False, channels_last: bool = False, kept: bool = False
) -> Contestant:
    """A U-Net of imagen-pytorch, its preset after the paper at our widths. Training: `Imagen`'s own loss.
    Guided: its own two passes, `forward_with_cond_scale`."""
    if kept:
        keep_large_blocks()
    layout = torch.channels_last if channels_last else torch.contiguous_format
    resolution = s.x.shape[-1]
    with contextlib.redirect_stdout(io.StringIO()):  # its advice on widths
        if s.lowres is None:
            unets = [ip.BaseUnet64(dim=64, text_embed_dim=TEXT_DIM)]
        else:
            unets = [ip.NullUnet(), ip.SRUnet256(dim=32, text_embed_dim=TEXT_DIM, lowres_cond=True)]
    sizes = [resolution] if s.lowres is None else [resolution // 4, resolution]
    number = len(unets)
    imagen = ip.Imagen(unets, image_sizes=sizes, text_embed_dim=TEXT_DIM)
    net = imagen.unets[number - 1].to(memory_format=layout)
    optimizer = torch.optim.AdamW(net.parameters(), lr=1e-4, fused=True)
    images = (s.x * 0.5 + 0.5).contiguous(memory_format=layout)
    z = s.noise.contiguous(memory_format=layout)
    log_snr = imagen.noise_schedulers[number - 1].get_condition(s.t)
    given = {"text_embeds": s.text, "text_mask": s.mask}
    if s.lowres is not None:
        given["lowres_cond_img"] = s.lowres.contiguous(memory_format=layout)
        given["lowres_noise_times"] = imagen.lowres_noise_schedule.get_condition(s.level)

    def train() -> None:
        net.train()
        with precision(bf16):
            loss = imagen(images, text_embeds=s.text, text_masks=s.mask, unet_number=number)
        loss.backward()
        optimizer.step()
        optimizer.zero_grad()

    @torch.no_grad()
    def sample() -> Tensor:
        net.eval()
        with precision(bf16):
            return net.forward_with_cond_scale(z, log_snr, cond_scale=GUIDANCE, **given)

    return Contestant(
        name + tail(bf16=bf16, channels_last=channels_last, kept=kept),
        "imagen-pytorch",
        network,
        parameters(net),
        {"train": train, "sample": sample},
        "bf16" if bf16 else "float32",
        not (channels_last or kept),
    )


def diffusers_base(s: Setting, **extra: bool) -> Contestant:
    """IF's first stage, 64 x 64."""
    return diffusers("diffusers IF-I", "base", IF_BASE, s, **extra)


def diffusers_efficient(s: Setting, **extra: bool) -> Contestant:
    """IF's second stage, 64 -> 256."""
    return diffusers("diffusers IF-II", "efficient", IF_SUPER_RESOLUTION, s, **extra)


def imagen_pytorch_base(s: Setting, **extra: bool) -> Contestant:
    """Its base preset, 64 x 64."""
    return imagen_pytorch("imagen-pytorch base", "base", s, **extra)


def imagen_pytorch_efficient(s: Setting, **extra: bool) -> Contestant:
    """Its super-resolution preset, 64 -> 256."""
    return imagen_pytorch("imagen-pytorch SR", "efficient", s, **extra)
