"""What TensorBoard shows of a run: event files in its directory."""

import os
import time
from io import FileIO
from typing import Any

from cnncli import files
from cnncli.run import Run

NAME = "events.out.tfevents."  # by which TensorBoard knows them


class EventFiles:
    """A copy of what a run notes in steps.jsonl and history.jsonl, and the test; none where it is not ``wanted``.

    PyTorch's SummaryWriter would write them from a thread, where a full disk is a traceback and a kill costs points.
    """

    def __init__(self, run: Run, wanted: bool) -> None:
        self.run, self.wanted = run, wanted
        self._file: FileIO | None = None

    def begin(self) -> None:
        """Write the rows so far anew: what is there may hold points of steps that are done again, or lack some."""
        if not self.wanted:
            return
        from tensorboard.compat.proto.event_pb2 import SessionLog

        with files.naming(self.run.tensorboard):
            self.run.tensorboard.mkdir(exist_ok=True)
            before = sorted(self.run.tensorboard.glob(f"{NAME}[0-9][0-9][0-9][0-9][0-9][0-9]"))
            number = int(before[-1].name.removeprefix(NAME)) + 1 if before else 0
            for path in before:
                os.truncate(path, 0)  # an open TensorBoard would wait for ever for one that is gone
            self._file = (self.run.tensorboard / f"{NAME}{number:06}").open("wb", buffering=0)
        self._write(0, file_version="brain.Event:2")
        self._write(0, session_log=SessionLog(status=SessionLog.START))  # has it forget what it read
        for row in self.run.read_steps():
            self.step(row)
        for row in self.run.read_history():
            self.epoch(row)

    def step(self, row: dict[str, Any]) -> None:
        """Take a row of steps.jsonl."""
        self._points(row["step"], {"loss/step": row["loss"], "lr": row["lr"]})

    def epoch(self, row: dict[str, Any]) -> None:
        """Take a row of history.jsonl."""
        for split in ("train", "val", "test"):
            if row.get(split):
                self.scores(split, row[split], row["step"])

    def scores(self, split: str, scores: dict[str, Any], step: int) -> None:
        """Take loss and accuracy on a split after a step."""
        self._points(step, {f"{measure}/{split}": scores[measure] for measure in ("loss", "accuracy")})

    def close(self) -> None:
        """Write no more."""
        if self._file is not None:
            self._file.close()

    def _points(self, step: int, values: dict[str, float]) -> None:
        if self._file is not None:
            from tensorboard.compat.proto.summary_pb2 import Summary

            points = [Summary.Value(tag=tag, simple_value=value) for tag, value in values.items()]
            self._write(step, summary=Summary(value=points))

    def _write(self, step: int, **content: Any) -> None:
        from tensorboard.compat.proto.event_pb2 import Event
        from tensorboard.summary.writer.record_writer import RecordWriter

        assert self._file is not None
        with files.naming(self.run.tensorboard):
            RecordWriter(self._file).write(Event(wall_time=time.time(), step=step, **content).SerializeToString())
