"""GGUF files, version 3: metadata and tensors, as documented in src/gguf/gguf.h; the block formats of tensors as
src/gguf/blocks.c decodes them. What the codes of a quantized tensor are is decided in quantize.py."""
import struct

import numpy as np

ALIGNMENT = 32

# Number and struct format of the types of metadata. An array is written "[u32]", "[string]".
_VALUE = {"u8": (0, "B"), "i8": (1, "b"), "u16": (2, "H"), "i16": (3, "h"), "u32": (4, "I"), "i32": (5, "i"),
          "f32": (6, "f"), "bool": (7, "?"), "string": (8, None), "u64": (10, "Q"), "i64": (11, "q"), "f64": (12, "d")}
_ARRAY = 9
_NAME = {number: name for name, (number, _) in _VALUE.items()}

# ---- writing ----


def _string(value: str) -> bytes:
    raw = value.encode()
    return struct.pack("<Q", len(raw)) + raw


def _values(kind: str, values: list) -> bytes:
    if kind == "string":
        return b"".join(map(_string, values))
    return struct.pack(f"<{len(values)}{_VALUE[kind][1]}", *values)


def _pair(key: str, kind: str, value) -> bytes:
    if kind.startswith("["):
        kind = kind[1:-1]
        head = struct.pack("<IIQ", _ARRAY, _VALUE[kind][0], len(value))
        return _string(key) + head + _values(kind, value)
    return _string(key) + struct.pack("<I", _VALUE[kind][0]) + _values(kind, [value])


def _padding(n_bytes: int) -> bytes:
    return bytes(-n_bytes % ALIGNMENT)


def write(path, metadata: list, tensors: list):
    """metadata: (key, type, value) with a type such as "u32", "string", "[f32]". tensors: (name, ne, ggml type, bytes)
    with ne[0] the length of a row."""
    head = b"GGUF" + struct.pack("<IQQ", 3, len(tensors), len(metadata))
    head += b"".join(_pair(*pair) for pair in metadata)
    offset = 0
    for name, ne, kind, data in tensors:
        head += _string(name) + struct.pack(f"<I{len(ne)}QIQ", len(ne), *ne, kind, offset)
        offset += len(data) + len(_padding(len(data)))
    with open(path, "wb") as file:
        file.write(head + _padding(len(head)))
        for _, _, _, data in tensors:
            file.write(data)
            file.write(_padding(len(data)))

# ---- reading ----


class _Reader:
    def __init__(self, data: memoryview):
        self.data, self.at = data, 0

    def take(self, form: str):
        values = struct.unpack_from("<" + form, self.data, self.at)
        self.at += struct.calcsize("<" + form)
        return values

    def number(self, form: str):
        return self.take(form)[0]

    def string(self) -> str:
        n = self.number("Q")
        self.at += n
        return bytes(self.data[self.at - n:self.at]).decode()

    def values(self, kind: int, n: int) -> list:
        name = _NAME[kind]
        return [self.string() for _ in range(n)] if name == "string" else list(self.take(f"{n}{_VALUE[name][1]}"))

    def value(self):
        kind = self.number("I")
        return self.values(*self.take("IQ")) if kind == _ARRAY else self.values(kind, 1)[0]


def read(path) -> tuple:
    """metadata: {key: value}, tensors: {name: (ne, ggml type, bytes)}. Files are trusted."""
    with open(path, "rb") as file:
        reader = _Reader(memoryview(file.read()))
    magic, version, n_tensors, n_metadata = reader.take("4sIQQ")
    assert magic == b"GGUF" and version == 3, f"{path}: not a GGUF file of version 3"
    metadata = {reader.string(): reader.value() for _ in range(n_metadata)}
    directory = []
    for _ in range(n_tensors):
        name = reader.string()
        ne = reader.take(f"{reader.number('I')}Q")
        directory.append((name, ne, *reader.take("IQ")))
    start = reader.at + -reader.at % metadata.get("general.alignment", ALIGNMENT)
    tensors = {}
    for name, ne, kind, offset in directory:
        at = start + offset
        tensors[name] = (ne, kind, reader.data[at:at + n_bytes(ne, kind)])
    return metadata, tensors


# ---- tensors ----

# Number, elements and bytes of a block.
F32, F16, Q8_0, Q4_K, I32 = 0, 1, 8, 12, 26
_BLOCK = {F32: (1, 4), F16: (1, 2), Q8_0: (32, 34), Q4_K: (256, 144), I32: (1, 4)}


def n_bytes(ne, kind: int) -> int:
    n_elements, block_bytes = _BLOCK[kind]
    assert ne[0] % n_elements == 0, f"rows of {ne[0]} elements, expected a multiple of {n_elements}"
    n = block_bytes * (ne[0] // n_elements)
    for dimension in ne[1:]:
        n *= dimension
    return n


def _halves(values) -> np.ndarray:
    """float16 [blocks] as bytes [blocks][2]"""
    return np.ascontiguousarray(values, "<f2").view(np.uint8).reshape(-1, 2)


def pack_q8_0(q) -> bytes:
    """q: quantize.Q8_0 or anything with the same arrays. f16 d; i8 q[32]"""
    d, code = (np.asarray(array) for array in q)
    return np.concatenate([_halves(d), code.astype(np.int8).view(np.uint8)], axis=1).tobytes()


def pack_q4_k(q) -> bytes:
    """q: quantize.Q4_K or anything with the same arrays. f16 d; f16 dmin; u8 scales[12]; u8 q[128]. Scales and minima
    have six bits: bytes 0..3 and 4..7 are those of sub-blocks 0..3 with the two high bits of sub-blocks 4..7 on top,
    bytes 8..11 the four low bits of sub-blocks 4..7. Each 32 bytes of q hold two sub-blocks, in the low and in the
    high nibbles."""
    d, dmin = (np.asarray(array) for array in q[:2])
    scale, minimum, code = (np.asarray(array).astype(np.uint8) for array in q[2:])
    low = [array[:, :4] | array[:, 4:] >> 4 << 6 for array in (scale, minimum)]
    rest = scale[:, 4:] & 15 | minimum[:, 4:] << 4
    nibbles = code[:, 0::2] | code[:, 1::2] << 4
    return np.concatenate([_halves(d), _halves(dmin), *low, rest, nibbles.reshape(-1, 128)], axis=1).tobytes()


def quantize(array, kind: int, n_candidates: int = 0) -> bytes:
    """The bytes of a tensor: of numbers, or for Q8_0 and Q4_K of float32 weights. n_candidates is quantize_q4_k's."""
    array = np.asarray(array)
    if kind in (F32, F16, I32):
        return array.astype({F32: "<f4", F16: "<f2", I32: "<i4"}[kind]).tobytes()
    import torch
    import quantize as quantizer
    weights = torch.from_numpy(np.ascontiguousarray(array, np.float32))
    if kind == Q8_0:
        return pack_q8_0(quantizer.quantize_q8_0(weights))
    assert kind == Q4_K, kind
    return pack_q4_k(quantizer.quantize_q4_k(weights, n_candidates))


def dequantize(data, kind: int, shape) -> np.ndarray:
    """The float32 (of I32: int32) values of a tensor, as the engine has them."""
    if kind in (F32, F16, I32):
        values = np.frombuffer(data, {F32: "<f4", F16: "<f2", I32: "<i4"}[kind])
        return values.astype(np.int32 if kind == I32 else np.float32).reshape(shape)
    blocks = np.frombuffer(data, np.uint8).reshape(-1, _BLOCK[kind][1])
    halves = blocks[:, :4].copy().view("<f2").astype(np.float32)
    if kind == Q8_0:
        return (halves[:, :1] * blocks[:, 2:].view(np.int8)).astype(np.float32).reshape(shape)
    assert kind == Q4_K, kind
    low, rest = blocks[:, 4:12].reshape(-1, 2, 4), blocks[:, 12:16]
    low_bits = np.stack([rest & 15, rest >> 4], axis=1)
    scale, minimum = np.moveaxis(np.concatenate([low & 63, low_bits | low >> 6 << 4], axis=2), 1, 0).astype(np.float32)
    nibbles = blocks[:, 16:].reshape(-1, 4, 32)
    code = np.stack([nibbles & 15, nibbles >> 4], axis=2).reshape(-1, 8, 32)
    step, offset = halves[:, :1] * scale, halves[:, 1:] * minimum
    return (step[..., None] * code - offset[..., None]).astype(np.float32).reshape(shape)
