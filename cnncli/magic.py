"""What a file is that is no checkpoint of cnncli, as far as its bytes say, and what to do with it."""

import os
import re
from typing import IO

ONNX = re.compile(rb"\x08[\x01-\x7f][\x12\x1a\x22\x2a\x32\x3a\x42]")  # ir_version, a small number, and another field
SAFETENSORS = re.compile(rb".{5}\x00{3}\{", re.DOTALL)  # the length of a header in JSON, in eight bytes, and the header
TORCH_EXPORT = b"/archive_format"  # a record of the archive, whose names stand at its end
END_OF_ZIP = re.compile(rb"PK\x05\x06.{16}\x00\x00\Z", re.DOTALL)  # without a comment, where the seal would be
TAIL_BYTES = 4096


def other_kind(file: IO[bytes]) -> str:
    """Return how a message about a file without a seal goes on: what it is instead, or nothing if that is unknown."""
    file.seek(0)
    head = file.read(16)
    file.seek(max(file.seek(0, os.SEEK_END) - TAIL_BYTES, 0))
    tail = file.read()
    if ONNX.match(head):
        return "but an ONNX file, which runs without cnncli: give the checkpoint that it was exported from"
    if SAFETENSORS.match(head):
        return "but weights in safetensors: 'cnn import' makes a checkpoint of them"
    if not head.startswith(b"PK") or not END_OF_ZIP.search(tail):
        return ""
    if TORCH_EXPORT in tail:
        return "but a file of torch.export, which runs without cnncli: give the checkpoint that it was exported from"
    return "but another archive: if torch saved weights in it, 'cnn import' makes a checkpoint of them"
