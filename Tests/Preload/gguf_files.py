"""Files of random numbers beside Gemma 3 270M, in GGUF version 3 (https://github.com/ggml-org/ggml/blob/master/docs/gguf.md): a LoRA adapter
and a multimodal projector. They mean nothing, and change what the model says."""
import random, struct

EMBEDDING, HEADS, LAYERS = 640, 1024, 18  # of the text model
U32, F32, BOOL, TEXT, ARRAY, ALIGNMENT = 4, 6, 7, 8, 9, 32


def text(value):
    data = value.encode()
    return struct.pack("<Q", len(data)) + data


def member(value):
    if isinstance(value, bool):
        return struct.pack("<IB", BOOL, value)
    if isinstance(value, int):
        return struct.pack("<II", U32, value)
    if isinstance(value, float):
        return struct.pack("<If", F32, value)
    if isinstance(value, list):
        return struct.pack("<IIQ", ARRAY, F32, len(value)) + struct.pack(f"<{len(value)}f", *value)
    return struct.pack("<I", TEXT) + text(value)


def write(path, members, tensors):
    """`tensors`: name -> (shape, the largest distance from the middle, the middle)."""
    chance = random.Random(7)
    head, data = b"GGUF" + struct.pack("<IQQ", 3, len(tensors), len(members)), b""
    for name, value in members.items():
        head += text(name) + member(value)
    for name, (shape, scale, middle) in tensors.items():
        count = 1
        for length in shape:
            count *= length
        head += text(name) + struct.pack(f"<I{len(shape)}QIQ", len(shape), *shape, 0, len(data))
        data += struct.pack(f"<{count}f", *(middle + chance.uniform(-scale, scale) for _ in range(count)))
        data += bytes(-len(data) % ALIGNMENT)
    with open(path, "wb") as file:
        file.write(head + bytes(-len(head) % ALIGNMENT) + data)


def adapter(path, rank=4):
    tensors = {}
    for layer in range(LAYERS):
        tensors[f"blk.{layer}.attn_q.weight.lora_a"] = (EMBEDDING, rank), 0.1, 0
        tensors[f"blk.{layer}.attn_q.weight.lora_b"] = (rank, HEADS), 0.1, 0
    write(path, {"general.type": "adapter", "general.architecture": "gemma3", "adapter.type": "lora", "adapter.lora.alpha": 16.0}, tensors)


def projector(path, image=112, patch=14, width=64, inner=128):
    def weights(name, *shape, middle=0):
        tensors[f"{name}.weight"] = shape, 0.1, middle
        tensors[f"{name}.bias"] = shape[-1:], 0.1, 0
    tensors = {"v.position_embd.weight": ((width, (image // patch) ** 2), 0.1, 0),
               "mm.input_projection.weight": ((EMBEDDING, width), 0.5, 0), "mm.soft_emb_norm.weight": ((width,), 0.1, 1)}
    weights("v.patch_embd", patch, patch, 3, width)
    weights("v.post_ln", width, middle=1)
    for name in ("attn_q", "attn_k", "attn_v", "attn_out"):
        weights(f"v.blk.0.{name}", width, width)
    for name in ("ln1", "ln2"):
        weights(f"v.blk.0.{name}", width, middle=1)
    weights("v.blk.0.ffn_up", width, inner)
    weights("v.blk.0.ffn_down", inner, width)
    vision = {"image_size": image, "patch_size": patch, "embedding_length": width, "feed_forward_length": inner, "projection_dim": EMBEDDING, "block_count": 1,
              "attention.head_count": 4, "attention.layer_norm_epsilon": 1e-6, "image_mean": [0.5] * 3, "image_std": [0.5] * 3, "projector_type": "gemma3"}
    write(path, {"general.architecture": "clip", "general.type": "mmproj", "clip.has_vision_encoder": True, "clip.projector_type": "gemma3", "clip.use_gelu": True}
          | {f"clip.vision.{name}": value for name, value in vision.items()}, tensors)
