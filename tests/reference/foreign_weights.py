"""The files of weights as other projects write them: timm's names turned into theirs, name by name.

Each function takes the state of a timm model with two blocks and gives what such a file holds, with the heads, decoders
and text towers that are in it too. The small state dictionaries in ``NAMES_OF_A_BLOCK`` were read off the projects' own
models.
"""

import argparse
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

State = dict[str, Tensor]
SURPLUS = torch.ones(3)


def renamed(state: State, *pairs: tuple[str, str]) -> State:
    result = {}
    for name, value in state.items():
        for ours, theirs in pairs:
            name = name.replace(ours, theirs)
        result[name] = value
    return result


def split(state: State, query: str, key: str, value: str) -> State:
    """The fused projections as three: ``...attn.qkv.weight`` to ``...<query>.weight`` and so on."""
    result = {}
    for name, tensor in state.items():
        if ".attn.qkv." not in name:
            result[name] = tensor
            continue
        for part, third in zip((query, key, value), tensor.chunk(3)):
            result[name.replace(".attn.qkv.", f".{part}.")] = third.clone()
    return result


def dino(state: State) -> Any:
    """A training's own checkpoint: the student would be the wrong one."""
    student = {f"module.backbone.{name}": torch.zeros_like(value) for name, value in state.items()}
    return {
        "student": {**student, "module.head.mlp.0.weight": SURPLUS},
        "teacher": {f"backbone.{name}": value for name, value in state.items()} | {"head.last_layer.weight": SURPLUS},
        "optimizer": {"state": {0: {"exp_avg": SURPLUS}}, "param_groups": [{"lr": 0.1, "params": [0]}]},
        "epoch": 100,
        "args": argparse.Namespace(arch="vit_small", patch_size=8),
    }


def dino_alone(state: State) -> Any:
    return {f"module.{name}": value for name, value in state.items()}


def dinov2(state: State) -> Any:
    return {**state, "mask_token": torch.ones(1, state["cls_token"].shape[-1])}


def dinov2_training(state: State) -> Any:
    """The blocks are kept in chunks, each block with its own number behind that of its chunk."""
    theirs = renamed(dinov2(state), ("blocks.1.", "blocks.3.1."), ("blocks.0.", "blocks.0.0."))
    teacher = {f"teacher.backbone.{name}": value for name, value in theirs.items()}
    student = {f"student.backbone.{name}": torch.zeros_like(value) for name, value in theirs.items()}
    return {"model": {**student, **teacher, "teacher.dino_head.mlp.0.weight": SURPLUS}, "iteration": 7}


def dinov2_registers(state: State) -> Any:
    """The class token has a position of its own here; timm adds it to the token."""
    theirs = dinov2(state)
    position = torch.linspace(-1, 1, theirs["cls_token"].shape[-1]).reshape(1, 1, -1)
    theirs["register_tokens"] = theirs.pop("reg_token")
    theirs["cls_token"] = theirs["cls_token"] - position
    theirs["pos_embed"] = torch.cat([position, theirs["pos_embed"]], dim=1)
    return theirs


def dinov3(state: State) -> Any:
    theirs = renamed(state, ("reg_token", "storage_tokens"), (".gamma_1", ".ls1.gamma"), (".gamma_2", ".ls2.gamma"))
    channels = state["cls_token"].shape[-1]
    theirs |= {"mask_token": torch.ones(1, channels), "rope_embed.periods": SURPLUS}
    for block in range(2):
        mask = torch.ones(3 * channels)
        mask[channels : 2 * channels] = torch.nan
        bias = torch.zeros(3 * channels)
        bias[channels : 2 * channels] = 5.0  # masked: never used
        for part, rows in (("q", slice(0, channels)), ("v", slice(2 * channels, None))):
            if f"blocks.{block}.attn.{part}_bias" in theirs:
                bias[rows] = theirs.pop(f"blocks.{block}.attn.{part}_bias")
        theirs |= {f"blocks.{block}.attn.qkv.bias": bias, f"blocks.{block}.attn.qkv.bias_mask": mask}
    return theirs


def sam(state: State) -> Any:
    theirs = {f"image_encoder.{name}": value for name, value in renamed(state, (".mlp.fc", ".mlp.lin")).items()}
    return {**theirs, "prompt_encoder.mask_downscaling.0.weight": SURPLUS, "mask_decoder.iou_token.weight": SURPLUS}


def mae(state: State) -> Any:
    return {"model": {**state, "mask_token": SURPLUS, "decoder_embed.weight": SURPLUS, "decoder_pos_embed": SURPLUS}}


def openai(state: State) -> Any:
    theirs = renamed(
        state,
        ("patch_embed.proj", "conv1"),
        ("norm_pre", "ln_pre"),
        ("norm.", "ln_post."),
        ("blocks.", "transformer.resblocks."),
        (".norm1.", ".ln_1."),
        (".norm2.", ".ln_2."),
        (".attn.qkv.", ".attn.in_proj_"),
        (".attn.proj.", ".attn.out_proj."),
        (".mlp.fc1.", ".mlp.c_fc."),
        (".mlp.fc2.", ".mlp.c_proj."),
    )
    theirs["class_embedding"] = theirs.pop("cls_token").flatten()
    theirs["positional_embedding"] = theirs.pop("pos_embed")[0]
    channels = len(theirs["class_embedding"])
    text = {"transformer.resblocks.0.ln_1.weight": SURPLUS, "positional_embedding": SURPLUS, "ln_final.bias": SURPLUS}
    theirs["proj"] = torch.ones(channels, 4)
    return {**{f"visual.{name}": value for name, value in theirs.items()}, **text, "logit_scale": torch.tensor(1.0)}


def transformers_vit(state: State) -> State:
    """ViTModel, ViTMAEModel."""
    theirs = split(state, "attention.attention.query", "attention.attention.key", "attention.attention.value")
    return renamed(
        theirs,
        ("cls_token", "embeddings.cls_token"),
        ("pos_embed", "embeddings.position_embeddings"),
        ("patch_embed.proj.", "embeddings.patch_embeddings.projection."),
        ("blocks.", "encoder.layer."),
        (".attn.proj.", ".attention.output.dense."),
        (".mlp.fc1.", ".intermediate.dense."),
        (".mlp.fc2.", ".output.dense."),
        (".norm1.", ".layernorm_before."),
        (".norm2.", ".layernorm_after."),
        ("norm.", "layernorm."),
    )


def transformers_vit_with_head(state: State) -> Any:
    theirs = {f"vit.{name}": value for name, value in transformers_vit(state).items()}
    return {**theirs, "classifier.weight": SURPLUS, "classifier.bias": SURPLUS}


def transformers_mae_with_decoder(state: State) -> Any:
    theirs = {f"vit.{name}": value for name, value in transformers_vit(state).items()}
    surplus = ("decoder_embed.weight", "decoder_encoder.layer.0.output.dense.bias", "mask_token")
    return {**theirs, **{f"decoder.{name}": SURPLUS for name in surplus}}


def transformers_dinov2(state: State) -> Any:
    """Dinov2Model, Dinov2WithRegistersModel."""
    with_registers = "reg_token" in state
    theirs = split(
        dinov2_registers(state) if with_registers else dinov2(state),
        *("attention.attention.query", "attention.attention.key", "attention.attention.value"),
    )
    return renamed(
        theirs,
        ("cls_token", "embeddings.cls_token"),
        ("mask_token", "embeddings.mask_token"),
        ("register_tokens", "embeddings.register_tokens"),
        ("pos_embed", "embeddings.position_embeddings"),
        ("patch_embed.proj.", "embeddings.patch_embeddings.projection."),
        ("blocks.", "encoder.layer."),
        (".attn.proj.", ".attention.output.dense."),
        (".ls1.gamma", ".layer_scale1.lambda1"),
        (".ls2.gamma", ".layer_scale2.lambda1"),
        ("norm.", "layernorm."),
    )


def transformers_dinov3(state: State) -> Any:
    """DINOv3ViTModel: the key has no bias."""
    theirs = {name: value for name, value in dinov3(state).items() if "mask" not in name and "periods" not in name}
    theirs = split(theirs, "attention.q_proj", "attention.k_proj", "attention.v_proj")
    theirs = {name: value for name, value in theirs.items() if not name.endswith("k_proj.bias")}
    return renamed(
        theirs,
        ("cls_token", "embeddings.cls_token"),
        ("storage_tokens", "embeddings.register_tokens"),
        ("patch_embed.proj.", "embeddings.patch_embeddings."),
        ("blocks.", "layer."),
        (".attn.proj.", ".attention.o_proj."),
        (".mlp.fc1.", ".mlp.up_proj."),
        (".mlp.fc2.", ".mlp.down_proj."),
        (".ls1.gamma", ".layer_scale1.lambda1"),
        (".ls2.gamma", ".layer_scale2.lambda1"),
    ) | {"embeddings.mask_token": SURPLUS}


def transformers_clip_vision(state: State) -> State:
    """CLIPVisionModel, as newer versions write it."""
    theirs = split(state, "self_attn.q_proj", "self_attn.k_proj", "self_attn.v_proj")
    theirs = renamed(
        theirs,
        ("cls_token", "embeddings.class_embedding"),
        ("pos_embed", "embeddings.position_embedding.weight"),
        ("patch_embed.proj.", "embeddings.patch_embedding."),
        ("blocks.", "encoder.layers."),
        (".attn.proj.", ".self_attn.out_proj."),
        ("norm_pre.", "pre_layrnorm."),
        (".norm1.", ".layer_norm1."),
        (".norm2.", ".layer_norm2."),
        ("norm.", "post_layernorm."),
    )
    for name, shape in (("embeddings.class_embedding", (-1,)), ("embeddings.position_embedding.weight", (197, -1))):
        theirs[name] = theirs[name].reshape(shape)
    return {name.replace("pre_layrpost_layernorm", "pre_layrnorm"): value for name, value in theirs.items()}


def transformers_clip(state: State) -> Any:
    """CLIPModel."""
    theirs = {f"vision_model.{name}": value for name, value in transformers_clip_vision(state).items()}
    text = ("text_model.embeddings.position_embedding.weight", "text_model.encoder.layers.0.layer_norm1.bias")
    return {**theirs, **dict.fromkeys(text, SURPLUS), "visual_projection.weight": SURPLUS}


def transformers_sam(state: State) -> Any:
    """SamModel, SamVisionModel."""
    theirs = renamed(
        state,
        ("patch_embed.proj.", "patch_embed.projection."),
        ("blocks.", "layers."),
        (".norm1.", ".layer_norm1."),
        (".norm2.", ".layer_norm2."),
        (".mlp.fc", ".mlp.lin"),
    )
    theirs = {f"vision_encoder.{name}": value for name, value in theirs.items()}
    return {**theirs, "prompt_encoder.mask_embed.conv1.weight": SURPLUS, "mask_decoder.mask_tokens.weight": SURPLUS}


#: Short name of an encoder, and the files that its weights come in.
FILES: list[tuple[str, Callable[[State], Any]]] = [
    ("dino_vits8", dino),
    ("dino_vits16", dino_alone),
    ("dino_vitb16", transformers_vit),
    ("dinov2_vits14", dinov2),
    ("dinov2_vits14", dinov2_training),
    ("dinov2_vitb14", transformers_dinov2),
    ("dinov2_vits14_reg", dinov2_registers),
    ("dinov2_vitb14_reg", transformers_dinov2),
    ("dinov3_vits16", dinov3),
    ("dinov3_vitb16", transformers_dinov3),
    ("sam_vitb16", sam),
    ("sam_vitb16", transformers_sam),
    ("clip_vitb16", openai),
    ("clip_vitb16", transformers_clip),
    ("clip_vitb16", transformers_clip_vision),
    ("mae_vitb16", mae),
    ("mae_vitb16", transformers_vit),
    ("mae_vitb16", transformers_mae_with_decoder),
    ("vit_b16", transformers_vit_with_head),
]

#: The names of block 0 in files of transformers 5, without ``weight`` and ``bias``.
NAMES_OF_A_BLOCK: dict[Callable[[State], Any], tuple[str, str]] = {
    transformers_vit: (
        "encoder.layer.0.",
        "attention.attention.key attention.attention.query attention.attention.value attention.output.dense "
        "intermediate.dense layernorm_after layernorm_before output.dense",
    ),
    transformers_dinov2: (
        "encoder.layer.0.",
        "attention.attention.key attention.attention.query attention.attention.value attention.output.dense "
        "layer_scale1.lambda1 layer_scale2.lambda1 mlp.fc1 mlp.fc2 norm1 norm2",
    ),
    transformers_dinov3: (
        "layer.0.",
        "attention.k_proj attention.o_proj attention.q_proj attention.v_proj layer_scale1.lambda1 layer_scale2.lambda1 "
        "mlp.down_proj mlp.up_proj norm1 norm2",
    ),
    transformers_clip: (
        "vision_model.encoder.layers.0.",
        "layer_norm1 layer_norm2 mlp.fc1 mlp.fc2 self_attn.k_proj self_attn.out_proj self_attn.q_proj self_attn.v_proj",
    ),
    transformers_sam: (
        "vision_encoder.layers.0.",
        "attn.proj attn.qkv attn.rel_pos_h attn.rel_pos_w layer_norm1 layer_norm2 mlp.lin1 mlp.lin2",
    ),
}
#: The names outside the blocks, in files of transformers 5.
NAMES_OUTSIDE: dict[Callable[[State], Any], str] = {
    transformers_vit: "embeddings.cls_token embeddings.patch_embeddings.projection.bias "
    "embeddings.patch_embeddings.projection.weight embeddings.position_embeddings layernorm.bias layernorm.weight",
    transformers_dinov3: "embeddings.cls_token embeddings.mask_token embeddings.patch_embeddings.bias "
    "embeddings.patch_embeddings.weight embeddings.register_tokens norm.bias norm.weight",
    transformers_clip_vision: "embeddings.class_embedding embeddings.patch_embedding.weight "
    "embeddings.position_embedding.weight post_layernorm.bias post_layernorm.weight pre_layrnorm.bias "
    "pre_layrnorm.weight",
}
