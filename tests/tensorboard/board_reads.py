"""The event files of `cellc train --tensorboard`, read by TensorBoard's own code.

Usage: python3 board_reads.py CELLC

A run is killed between two epochs and goes on in the same folder. TensorBoard must find every step once, and the
numbers that `history.jsonl` has. Says SKIPPED without tensorboard."""

import json
import os
import subprocess
import sys
import tempfile
import time

try:
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
except ImportError as missing:
    print(f"SKIPPED: {missing}")
    sys.exit(0)

EPOCHS = 3
LIMIT, BATCH = 640, 32


def train(cellc, folder, *more):
    command = [cellc, "train", "nasnet_a.cell", "--scale", "1@24", "--data", "digits", "--limit", str(LIMIT), "--batch",
               str(BATCH), "--epochs", str(EPOCHS), "--validation", "0.25", "--run", "run", "--tensorboard", "board", *more]
    return subprocess.Popen(command, cwd=folder, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)


def main(cellc):
    with tempfile.TemporaryDirectory() as folder:
        killed = train(cellc, folder)
        history = os.path.join(folder, "run", "history.jsonl")
        while not os.path.exists(history):
            assert killed.poll() is None, killed.stderr.read()
            time.sleep(0.01)
        # Some steps of the next epoch, of which the state that is gone on from knows nothing.
        time.sleep(0.3)
        killed.kill()
        killed.wait()
        whole = train(cellc, folder, "--resume")
        _, said = whole.communicate()
        assert whole.returncode == 0, said

        board = os.path.join(folder, "board")
        files = os.listdir(board)
        assert len(files) == 2, files
        events = EventAccumulator(board, size_guidance={"scalars": 0})
        events.Reload()
        tags = sorted(events.Tags()["scalars"])
        expected = ["epoch/train_accuracy", "epoch/train_loss", "epoch/val_accuracy", "train/grad_norm", "train/loss", "train/lr"]
        assert tags == expected, tags
        records = [json.loads(line) for line in open(history)]
        assert len(records) == EPOCHS
        per_epoch = -(-LIMIT * 3 // 4 // BATCH)
        for tag in expected[3:]:
            steps = [event.step for event in events.Scalars(tag)]
            assert steps == list(range(EPOCHS * per_epoch)), (tag, steps)
        for tag in expected[:3]:
            found = events.Scalars(tag)
            assert [event.step for event in found] == [per_epoch * (epoch + 1) - 1 for epoch in range(EPOCHS)], (tag, found)
            for event, record in zip(found, records):
                value = record[tag.removeprefix("epoch/")]
                assert abs(event.value - value) <= 1e-6 * abs(value), (tag, event, record)
        now = time.time()
        assert all(now - 3600 < event.wall_time <= now for event in events.Scalars("train/loss"))
        print(f"{EPOCHS * per_epoch} steps of two event files, each once, and {EPOCHS} epochs as in history.jsonl")


if __name__ == "__main__":
    main(os.path.abspath(sys.argv[1]))
