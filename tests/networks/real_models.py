"""Small versions of today's networks, each with a batch of inputs, made without a download."""

from collections.abc import Callable
from typing import Any

import torch
from needs import needed
from torch import nn
from torchvision import models
from torchvision.models.convnext import CNBlockConfig

from subspace_match.networks.inputs import Inputs

Made = tuple[nn.Module, Inputs]


def images(size: int = 32) -> torch.Tensor:
    return torch.randn(3, 3, size, size, generator=torch.Generator().manual_seed(1))


def tokens() -> torch.Tensor:
    return torch.randint(1, 50, (3, 12), generator=torch.Generator().manual_seed(1))


def padded_text() -> dict[str, torch.Tensor]:
    """Return token ids of 12, 8 and 5 real tokens, the last text padded on the left."""
    mask = torch.ones(3, 12, dtype=torch.int64)
    mask[1, 8:] = 0
    mask[2, :7] = 0
    return {"input_ids": tokens(), "attention_mask": mask}


def vit_b_16() -> Made:
    network = models.VisionTransformer(
        image_size=32, patch_size=16, num_layers=2, num_heads=2, hidden_dim=16, mlp_dim=24
    )
    return network, images()


def swin_t() -> Made:
    network = models.SwinTransformer(
        patch_size=[4, 4], embed_dim=8, depths=[2, 2], num_heads=[1, 2], window_size=[4, 4]
    )
    return network, images()


def convnext_tiny() -> Made:
    return models.ConvNeXt([CNBlockConfig(8, 16, 2), CNBlockConfig(16, None, 1)]), images()


def videos() -> torch.Tensor:
    return torch.randn(3, 3, 4, 32, 32, generator=torch.Generator().manual_seed(1))


def r3d_18() -> Made:
    return models.video.r3d_18(num_classes=5), videos()


def swin3d_t() -> Made:
    network = models.video.SwinTransformer3d(
        patch_size=[2, 4, 4], embed_dim=8, depths=[2, 2], num_heads=[1, 2], window_size=[2, 4, 4]
    )
    return network, videos()


def mobilenet_v3_small() -> Made:
    return models.mobilenet_v3_small(num_classes=5), images()


def efficientnet_b0() -> Made:
    return models.efficientnet_b0(num_classes=5), images()


def vit_tiny_patch16_224() -> Made:
    timm = needed("timm")
    return timm.create_model("vit_tiny_patch16_224", img_size=32, depth=2, num_classes=5), images()


def mixer_s32_224() -> Made:
    make = needed("timm.models.mlp_mixer").MlpMixer
    return make(img_size=64, patch_size=32, num_blocks=2, embed_dim=16), images(64)


def gpt2() -> Made:
    library = needed("transformers")
    config = library.GPT2Config(vocab_size=50, n_embd=16, n_layer=2, n_head=2, n_positions=32)
    return library.GPT2LMHeadModel(config), tokens()


def bert() -> Made:
    return needed("transformers").BertModel(_config("Bert", vocab_size=50)), padded_text()


def vit() -> Made:
    config = _config("ViT", image_size=32, patch_size=16)
    return needed("transformers").ViTForImageClassification(config), images()


def llama() -> Made:
    config = _config("Llama", vocab_size=50, num_key_value_heads=1)
    return needed("transformers").LlamaForCausalLM(config), padded_text()


def _config(family: str, **more: int) -> Any:
    make: Callable[..., Any] = getattr(needed("transformers"), f"{family}Config")
    return make(
        hidden_size=16, num_hidden_layers=2, num_attention_heads=2, intermediate_size=24, **more
    )
