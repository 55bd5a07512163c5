"""Data sets as other programs write them, read by cellc.

Usage: python3 image_files.py CELLC, where CELLC is the program built with the feature `parquet`.

Writes one set of images twice: as a class folder of PNG files by Pillow, and as Parquet files by pyarrow with the
columns, types and metadata that Hugging Face's `datasets` gives CIFAR-10. Both must be read, with the same pixels:
that training on them gives the same lines shows it. Says SKIPPED without Pillow or pyarrow."""

import io
import json
import os
import subprocess
import sys
import tempfile

try:
    import pyarrow
    import pyarrow.parquet
    from PIL import Image
except ImportError as missing:
    print(f"SKIPPED: {missing}")
    sys.exit(0)

CLASSES = ["airplane", "bird", "cat"]
PARTS = {"train": 90, "test": 30}
TYPE = pyarrow.schema([
    ("img", pyarrow.struct([("bytes", pyarrow.binary()), ("path", pyarrow.string())])),
    ("label", pyarrow.int64()),
])


def png(part, index):
    """The image as a PNG file: stripes of its class's direction, shifted by its number."""
    label = index % len(CLASSES)
    seed = index * 7 + (3 if part == "test" else 0)
    image = Image.new("RGB", (16, 16))
    for y in range(16):
        for x in range(16):
            at = (x, y, x + y)[label] + seed
            image.putpixel((x, y), (at * 40 % 256, at * 20 % 256, seed * 11 % 256))
    out = io.BytesIO()
    image.save(out, "PNG")
    return out.getvalue()


def write(root):
    os.makedirs(f"{root}/hub/plain_text")
    features = {"img": {"_type": "Image"}, "label": {"names": CLASSES, "_type": "ClassLabel"}}
    metadata = {"huggingface": json.dumps({"info": {"features": features}})}
    for part, count in PARTS.items():
        # As a class folder lists them: by class, then by name.
        order = sorted(range(count), key=lambda index: (index % len(CLASSES), index))
        rows = {"img": [], "label": []}
        for index in order:
            label = index % len(CLASSES)
            folder = f"{root}/folder/{part}/{CLASSES[label]}"
            os.makedirs(folder, exist_ok=True)
            with open(f"{folder}/{index:04}.png", "wb") as file:
                file.write(png(part, index))
            rows["img"].append({"bytes": png(part, index), "path": None})
            rows["label"].append(label)
        table = pyarrow.Table.from_pydict(rows, schema=TYPE.with_metadata(metadata))
        name = f"{root}/hub/plain_text/{part}-00000-of-00001.parquet"
        pyarrow.parquet.write_table(table, name, row_group_size=25)


def train(cellc, root, data, *more):
    command = [cellc, "train", "nasnet_a", "--scale", "1@24", "--epochs", "1", "--batch", "30",
               "--data", data, "--out", f"{root}/out.safetensors", *more]
    run = subprocess.run(command, capture_output=True, text=True)
    if run.returncode != 0:
        sys.exit(f"{' '.join(command)}\n{run.stderr}")
    return run.stdout.replace(data, "DATA")


def main():
    cellc = os.path.abspath(sys.argv[1])
    with tempfile.TemporaryDirectory() as root:
        write(root)
        for more in [(), ("--image-size", "12"), ("--limit", "60")]:
            folder = train(cellc, root, f"folder:{root}/folder", *more)
            hub = train(cellc, root, f"parquet:{root}/hub", *more)
            assert folder == hub, f"{more}:\n{folder}{hub}"
            counts = "60 training" if "--limit" in more else "90 training"
            assert counts in folder and "30 test images" in folder, folder
            print(" ".join(["class folder and Parquet agree", *more]))


main()
