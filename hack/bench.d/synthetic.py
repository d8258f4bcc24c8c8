"""Models of llama.cpp's GGUF format with random weights: their shape is what counts, not what they say. Made with PyPI's `gguf`."""
import dataclasses
import pathlib

import gguf
import numpy

SPECIAL = ("<unk>", "<s>", "</s>")


@dataclasses.dataclass
class Shape:
    layers: int = 2
    embedding: int = 2048
    feed_forward: int = 1024
    heads: int = 16
    kv_heads: int = 4
    vocabulary: int = 4096
    # 0: a dense model.
    experts: int = 0
    experts_used: int = 2

    @property
    def slice_bytes(self) -> int:
        """One expert's part of one tensor."""
        return self.embedding * self.feed_forward * 2


def tensors(shape: Shape) -> list[tuple[str, tuple[int, ...]]]:
    """Names and shapes, rows first, in the order of convert_hf_to_gguf.py."""
    width, kv = shape.embedding, shape.embedding // shape.heads * shape.kv_heads
    found: list[tuple[str, tuple[int, ...]]] = [("token_embd.weight", (shape.vocabulary, width))]
    for layer in range(shape.layers):
        name = f"blk.{layer}."
        found += [(name + "attn_norm.weight", (width,)), (name + "attn_q.weight", (width, width)), (name + "attn_k.weight", (kv, width)),
                  (name + "attn_v.weight", (kv, width)), (name + "attn_output.weight", (width, width)), (name + "ffn_norm.weight", (width,))]
        if shape.experts:
            found += [(name + "ffn_gate_inp.weight", (shape.experts, width)), (name + "ffn_gate_exps.weight", (shape.experts, shape.feed_forward, width)),
                      (name + "ffn_up_exps.weight", (shape.experts, shape.feed_forward, width)),
                      (name + "ffn_down_exps.weight", (shape.experts, width, shape.feed_forward))]
        else:
            found += [(name + "ffn_gate.weight", (shape.feed_forward, width)), (name + "ffn_up.weight", (shape.feed_forward, width)),
                      (name + "ffn_down.weight", (width, shape.feed_forward))]
    return [*found, ("output_norm.weight", (width,)), ("output.weight", (shape.vocabulary, width))]


def write(path: pathlib.Path, shape: Shape) -> int:
    """Writes the model; returns its size. The same shape gives the same bytes."""
    random = numpy.random.default_rng(7)
    writer = gguf.GGUFWriter(path, "llama")
    writer.add_name("synthetic")
    writer.add_context_length(4096)
    writer.add_embedding_length(shape.embedding)
    writer.add_block_count(shape.layers)
    writer.add_feed_forward_length(shape.feed_forward)
    writer.add_head_count(shape.heads)
    writer.add_head_count_kv(shape.kv_heads)
    writer.add_layer_norm_rms_eps(1e-5)
    writer.add_rope_dimension_count(shape.embedding // shape.heads)
    writer.add_file_type(gguf.LlamaFileType.MOSTLY_F16)
    if shape.experts:
        writer.add_expert_count(shape.experts)
        writer.add_expert_used_count(shape.experts_used)
    _vocabulary(writer, shape.vocabulary)
    found = tensors(shape)
    for name, dimensions in found:
        # llama.cpp wants norms and routers in full precision.
        kind = numpy.float32 if len(dimensions) == 1 or "gate_inp" in name else numpy.float16
        writer.add_tensor_info(name, dimensions, numpy.dtype(kind), int(numpy.prod(dimensions)) * numpy.dtype(kind).itemsize)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_ti_data_to_file()
    # Weights are windows of one block of random numbers: a window for each slice, so that every expert is another.
    block = random.standard_normal(1 << 25, dtype=numpy.float32)
    for name, dimensions in found:
        if len(dimensions) == 1:
            writer.write_tensor_data(numpy.ones(dimensions, numpy.float32))
            continue
        kind = numpy.float32 if "gate_inp" in name else numpy.float16
        data = numpy.empty(dimensions, kind)
        slices = data.reshape(-1, *dimensions[-2:])
        scale = numpy.float32(1 / dimensions[-1] ** 0.5)
        for part in slices:
            start = int(random.integers(0, block.size - part.size)) if part.size < block.size else 0
            part[...] = (numpy.resize(block, part.size) if part.size > block.size else block[start:start + part.size]).reshape(part.shape) * scale
        writer.write_tensor_data(data)
    writer.close()
    return path.stat().st_size


def _vocabulary(writer: gguf.GGUFWriter, count: int) -> None:
    words = [*SPECIAL, *(f"<0x{byte:02X}>" for byte in range(256))]
    kinds = [gguf.TokenType.UNKNOWN, gguf.TokenType.CONTROL, gguf.TokenType.CONTROL, *[gguf.TokenType.BYTE] * 256]
    for number in range(count - len(words)):
        words.append(f"▁w{number}")
        kinds.append(gguf.TokenType.NORMAL)
    writer.add_tokenizer_model("llama")
    writer.add_token_list(words)
    writer.add_token_scores([-float(index) for index in range(count)])
    writer.add_token_types(kinds)
    writer.add_bos_token_id(1)
    writer.add_eos_token_id(2)
    writer.add_unk_token_id(0)
