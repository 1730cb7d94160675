"""A TensorBoard events file, written without importing TensorBoard's machinery.

Only the generated protocol-buffer classes are used: they load in some 20 ms, TensorBoard's own
writer in some 150 ms, and its checksum in plain Python takes longer than all the rest of a row.
"""

from __future__ import annotations

import os
import platform
import struct
import time
from collections.abc import Mapping
from functools import cache
from pathlib import Path

import numpy as np
from tensorboard.compat.proto import event_pb2, summary_pb2, types_pb2
from tensorboard.plugins.hparams import api_pb2, plugin_data_pb2

from trpo_cli.runs.directory import write_all

SESSION_START = "_hparams_/session_start_info"
SESSION_END = "_hparams_/session_end_info"


class EventFile:
    """One events file in a folder. Every call writes a whole record through to the system."""

    def __init__(self, folder: Path) -> None:
        """Create the file; raises OSError when that fails."""
        now = time.time()
        name = f"events.out.tfevents.{now:.0f}.{platform.node()}.{os.getpid()}.0"
        self.path = folder / name
        self._file = os.open(self.path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_APPEND, 0o644)
        self._write(event_pb2.Event(wall_time=now, file_version="brain.Event:2"))

    def scalars(self, step: int, values: Mapping[str, float]) -> None:
        """Write all values of a row as one event at the environment step `step`."""
        event = event_pb2.Event(wall_time=time.time(), step=step)
        add = event.summary.value.add
        for tag, value in values.items():
            add(tag=tag, simple_value=value)
        self._write(event)

    def session_start(self, hyperparameters: Mapping[str, bool | int | float | str]) -> None:
        """Write the hyperparameters into this same run.

        No list of columns (an "experiment" summary) is written: TensorBoard would take that of
        one arbitrary run for all of them and hide whatever the other algorithms have. Without it
        TensorBoard shows every hyperparameter and every metric that any run has.
        """
        info = plugin_data_pb2.SessionStartInfo(start_time_secs=time.time())
        for name, value in hyperparameters.items():
            if isinstance(value, bool):
                info.hparams[name].bool_value = value
            elif isinstance(value, (int, float)):
                info.hparams[name].number_value = value
            else:
                info.hparams[name].string_value = str(value)
        self._plugin_data(SESSION_START, plugin_data_pb2.HParamsPluginData(session_start_info=info))

    def session_end(self, succeeded: bool) -> None:
        """Write how the run ended, for TensorBoard's table of hyperparameters."""
        status = api_pb2.STATUS_SUCCESS if succeeded else api_pb2.STATUS_FAILURE
        info = plugin_data_pb2.SessionEndInfo(status=status, end_time_secs=time.time())
        self._plugin_data(SESSION_END, plugin_data_pb2.HParamsPluginData(session_end_info=info))

    def close(self) -> None:
        os.close(self._file)

    def _plugin_data(self, tag: str, data: plugin_data_pb2.HParamsPluginData) -> None:
        event = event_pb2.Event(wall_time=time.time())
        value = event.summary.value.add(tag=tag)
        value.metadata.plugin_data.plugin_name = "hparams"
        value.metadata.plugin_data.content = data.SerializeToString()
        value.metadata.data_class = summary_pb2.DATA_CLASS_TENSOR
        value.tensor.dtype = types_pb2.DT_FLOAT  # the plugin wants a tensor, of no elements
        value.tensor.tensor_shape.dim.add(size=0)
        self._write(event)

    def _write(self, event: event_pb2.Event) -> None:
        data = event.SerializeToString()
        length = struct.pack("<Q", len(data))
        record = length + _masked_crc(length) + data + _masked_crc(data)
        write_all(self._file, record)


def _masked_crc(data: bytes) -> bytes:
    crc = crc32c(data)
    return struct.pack("<I", ((crc >> 15 | crc << 17) + 0xA282EAD8) & 0xFFFFFFFF)


_BLOCK = 1024


def crc32c(data: bytes) -> int:
    """CRC-32C (Castagnoli) of some bytes, as the TFRecord format asks for.

    The checksum is linear over GF(2): each byte's contribution depends on its value and its
    distance from the end only, so a block is one table look-up per byte and an exclusive or.
    """
    table, crc = _table(), 0xFFFFFFFF
    for start in range(0, len(data), _BLOCK):
        block = bytearray(data[start : start + _BLOCK])
        size, carry = len(block), crc
        for i in range(min(4, size)):  # the state so far enters through the first four bytes
            block[i] ^= carry & 0xFF
            carry >>= 8
        distances = _DISTANCES[_BLOCK - size :]
        crc = carry ^ int(
            np.bitwise_xor.reduce(table.take(distances + np.frombuffer(block, np.uint8)))
        )
    return crc ^ 0xFFFFFFFF


_DISTANCES = np.arange(_BLOCK - 1, -1, -1) * 256


@cache
def _table() -> np.ndarray:
    """(_BLOCK * 256,) uint32, at 256 k + b the contribution of byte b followed by k others."""
    first = np.arange(256, dtype=np.uint32)
    for _ in range(8):
        first = np.where(first & 1, (first >> 1) ^ np.uint32(0x82F63B78), first >> 1)
    table = np.empty((_BLOCK, 256), np.uint32)
    table[0] = first
    for k in range(1, _BLOCK):
        table[k] = (table[k - 1] >> 8) ^ first[table[k - 1] & 0xFF]
    return table.reshape(-1)
