"""TensorBoard events files, written and cut with TensorBoard's generated protocol buffers only.

Its own writer and its checksum stay out for their time. The checksum is plain Python, one byte
after another: 0.5 ms for a row of 1.5 kB, eight times what writing the whole row takes here (the
one below: 0.03 ms), seconds when a long run is resumed and its file is cut, and 0.09 s at each
start for what the module imports. The tests hold the one below to it.
"""

from __future__ import annotations

import os
import platform
import struct
import time
from collections.abc import Iterator, Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
from google.protobuf.message import DecodeError
from tensorboard.compat.proto import event_pb2, summary_pb2, types_pb2
from tensorboard.plugins.hparams import api_pb2, plugin_data_pb2

from trpo_cli.runs.chain import KEY
from trpo_cli.runs.directory import EVENTS, open_own, write_all, write_atomically
from trpo_cli.runs.scalars import means, numbers

VERSION = "brain.Event:2"
SESSION_START = "_hparams_/session_start_info"
SESSION_END = "_hparams_/session_end_info"


class EventFile:
    """One events file in a folder. Every call writes a whole record through to the system."""

    def __init__(self, folder: Path) -> None:
        """Go on with the newest file, or create one; raises OSError when that fails."""
        there = events_files(folder)
        if there:
            self.path = there[-1]
            self._file = open_own(self.path, os.O_WRONLY | os.O_APPEND)
            return
        self.path = _new_path(folder)
        self._file = os.open(self.path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_APPEND, 0o644)
        self._write(event_pb2.Event(wall_time=time.time(), file_version=VERSION))

    def scalars(self, step: int, values: Mapping[str, float]) -> None:
        """Write all values of a row as one event at the environment step `step`."""
        self._write(_event(time.time(), step, values))

    def row(self, row: Mapping[str, Any]) -> None:
        """Write the numbers of a row of metrics.jsonl."""
        self.scalars(int(row["step"]), numbers(row))

    def evaluation(self, record: Mapping[str, Any], gif: bytes | None = None) -> None:
        """Write the means of a line of eval.jsonl, as eval/return_mean and so on, and an animated
        GIF as the image eval/video."""
        event = _event(time.time(), int(record["step"]), means(record))
        if gif is not None:
            image = event.summary.value.add(tag="eval/video").image
            image.width, image.height = struct.unpack("<HH", gif[6:10])
            image.colorspace, image.encoded_image_string = 3, gif
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

    def flush(self) -> None:
        """Wait until the disk has every record."""
        os.fsync(self._file)

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
        write_all(self._file, _record(event.SerializeToString()))


def events_files(folder: Path) -> list[Path]:
    """The events files of a run, oldest first."""
    return sorted(folder.glob(EVENTS))


def mend_events(
    folder: Path, rows: Sequence[Mapping[str, Any]], evaluations: Sequence[Mapping[str, Any]]
) -> bool:
    """Let the events files show the rows and evaluations that there are, and no others.

    rows, evaluations: all those of metrics.jsonl and eval.jsonl. What the files lack, because a
    byte of them was damaged or a kill cut them short, is written again from the rows: then the
    result is True.

    Hyperparameters and the note on how the run ended go: whoever goes on writes them anew.
    """
    paths = events_files(folder)
    found = [event for path in paths for event in _events(path.read_bytes())]
    shown = {kind: [e.step for e in found if _kind(e) == kind] for kind in ("row", "eval")}
    own = [e for e in evaluations if "by" not in e and "checkpoint" not in e]
    if own and KEY not in own[0]:  # of an older version, and trpo-eval's are among them
        first = {e["step"]: e for e in reversed(own)}
        own = [first[step] for step in shown["eval"] if step in first]
    steps = {"row": [row["step"] for row in rows], "eval": [e["step"] for e in own]}
    wanted = {kind: set(those) for kind, those in steps.items()}
    kept = {path: [e for e in _events(path.read_bytes()) if _stays(e, wanted)] for path in paths}
    there = [(_kind(e), e.step) for events in kept.values() for e in events if _kind(e)]
    whole = sorted(there) == sorted((kind, step) for kind in steps for step in steps[kind])
    if not whole:
        began = found[0].wall_time if found else time.time()
        again = _written_again(rows, own, began)
        kept = {path: [] for path in paths} | {(paths or [_new_path(folder)])[-1]: again}
    for path, events in kept.items():
        _replace(path, b"".join(_record(event.SerializeToString()) for event in events))
    return not whole


def _written_again(
    rows: Sequence[Mapping[str, Any]], evaluations: Sequence[Mapping[str, Any]], began: float
) -> list[event_pb2.Event]:
    """The events of a whole file, as if they had been written when the rows were."""
    at = {row["step"]: began + float(row.get("seconds") or 0.0) for row in rows}
    events = [_event(at[row["step"]], row["step"], numbers(row)) for row in rows]
    events += [_event(at.get(e["step"], began), e["step"], means(e)) for e in evaluations]
    events.sort(key=lambda event: event.step)  # a row before the evaluation at its step
    return [event_pb2.Event(wall_time=began, file_version=VERSION), *events]


def _replace(path: Path, data: bytes) -> None:
    if not data:
        path.unlink(missing_ok=True)
    elif not path.exists() or path.read_bytes() != data:
        write_atomically(path, data)


def records(data: bytes) -> Iterator[bytes]:
    """The contents of an events file's records, up to the first one that is not whole."""
    start = 0
    while start + 12 <= len(data):
        length = data[start : start + 8]
        end = start + 12 + struct.unpack("<Q", length)[0]
        if data[start + 8 : start + 12] != _masked_crc(length) or end + 4 > len(data):
            return
        content = data[start + 12 : end]
        if data[end : end + 4] != _masked_crc(content):
            return
        yield content
        start = end + 4


def scalars(data: bytes) -> Iterator[tuple[float, int, str, float]]:
    """Time, step, tag and value of every scalar in an events file, as any tool writes them: plain
    numbers, or tensors of one. Raises ValueError for a record that is no event."""
    for record in records(data):
        try:
            event = event_pb2.Event.FromString(record)
        except DecodeError:
            raise ValueError("a record of it is no event") from None
        for value in event.summary.value:
            if value.WhichOneof("value") == "simple_value":
                yield event.wall_time, event.step, value.tag, value.simple_value
            elif (number := _of_tensor(value.tensor)) is not None:
                yield event.wall_time, event.step, value.tag, number


def _of_tensor(tensor: Any) -> float | None:
    """None for anything but one floating-point number."""
    form, numbers = {
        types_pb2.DT_FLOAT: ("<f", tensor.float_val),
        types_pb2.DT_DOUBLE: ("<d", tensor.double_val),
    }.get(tensor.dtype, ("", ()))
    if len(numbers) == 1:
        return float(numbers[0])
    if form and len(tensor.tensor_content) == struct.calcsize(form):
        return float(struct.unpack(form, tensor.tensor_content)[0])
    return None


def _events(data: bytes) -> list[event_pb2.Event]:
    return [event_pb2.Event.FromString(record) for record in records(data)]


def _kind(event: event_pb2.Event) -> str:
    """row, eval, or empty for what shows neither."""
    tags = [value.tag for value in event.summary.value]
    if not tags or any(tag in (SESSION_START, SESSION_END) for tag in tags):
        return ""
    return "eval" if tags[0].startswith("eval/") else "row"


def _stays(event: event_pb2.Event, steps: Mapping[str, set[int]]) -> bool:
    if kind := _kind(event):
        return event.step in steps[kind]
    return bool(event.file_version)


def _event(wall_time: float, step: int, values: Mapping[str, float]) -> event_pb2.Event:
    event = event_pb2.Event(wall_time=wall_time, step=step)
    for tag, value in values.items():
        event.summary.value.add(tag=tag, simple_value=value)
    return event


def _new_path(folder: Path) -> Path:
    name = f"events.out.tfevents.{time.time():.0f}.{platform.node()}.{os.getpid()}.0"
    return folder / name


def _record(data: bytes) -> bytes:
    length = struct.pack("<Q", len(data))
    return length + _masked_crc(length) + data + _masked_crc(data)


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
