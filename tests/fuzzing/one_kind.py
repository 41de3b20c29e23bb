"""Fuzzes one kind of file with libFuzzer by way of Atheris: KIND FOLDER SEED SECONDS.

A file is refused by an `ArmillaryError` whose message names it, or read. Anything else is a finding, kept once for each
place in the code with the file that led there; so is a file that takes longer or more memory than the limits, which
ends this process. What was found stands in `FOLDER/found.json` at any moment.
"""

from __future__ import annotations

import json
import logging
import os
import random
import sys
import time
import traceback
import warnings
from collections.abc import Sequence
from pathlib import Path

import atheris

from armillary.types import ArmillaryError
from fuzzing.kinds import KINDS, Kind, Reader

SECONDS_EACH, MOST_MIB = 10, 3072
MOST_BYTES = 20_000
_TOLD_EVERY_S = 1.0
_INSTRUMENTED = (
    "armillary.log", "armillary.problems", "armillary.yaml_file", "armillary.workloads.onnx",
    "armillary.hardware.timeloop", "armillary.hardware.hierarchy", "armillary.hardware.accelergy",
    "armillary.evaluators.physical.lef", "armillary.evaluators.physical.liberty",
    "armillary.evaluators.physical.activity", "armillary.evaluators.physical.pin_shapes",
    "armillary.evaluators.physical.enablement", "armillary.evaluators.external",
    "armillary.studies.guessing", "armillary.studies.design_file", "armillary.surrogates.model_file",
)  # fmt: skip


class Attempts:
    """Tries file after file, and counts what becomes of them."""

    def __init__(self, kind: Kind, readers: Sequence[Reader], folder: Path) -> None:
        self._kind, self._readers, self._folder = kind, readers, folder
        self._path = folder / "now" / f"file{kind.suffix}"
        self._path.parent.mkdir(exist_ok=True)
        self._counts = {"files": 0, "read": 0, "refused": 0}
        self._places: dict[str, str] = {}
        self._told = time.monotonic()

    def __call__(self, content: bytes) -> None:
        """Try one file."""
        self._counts["files"] += 1
        self._path.write_bytes(content)
        taken = [self._by(reader, content) for reader in self._readers]
        self._counts["read" if any(taken) else "refused"] += 1
        if time.monotonic() - self._told > _TOLD_EVERY_S:
            self.tell()

    def tell(self) -> None:
        """Write down what was found."""
        self._told = time.monotonic()
        found = self._folder / "found.json"
        found.with_suffix(".new").write_text(json.dumps({**self._counts, "places": self._places}), encoding="utf-8")
        found.with_suffix(".new").replace(found)

    def _by(self, reader: Reader, content: bytes) -> bool:
        """Return whether a reader takes the file."""
        try:
            reader(self._path)
        except ArmillaryError as fault:
            if str(self._path) not in str(fault) and str(self._path.parent) not in str(fault):
                self._keep(f"the message does not name the file: {str(fault)[:200]}", fault, content)
            return False
        except Exception as fault:
            self._keep(traceback.format_exc(limit=-8), fault, content)
            return False
        return True

    def _keep(self, why: str, fault: BaseException, content: bytes) -> None:
        frames = [f for f in traceback.extract_tb(fault.__traceback__) if f"{os.sep}armillary{os.sep}" in f.filename]
        last = f"{Path(frames[-1].filename).name}:{frames[-1].lineno}" if frames else "elsewhere"
        place = f"{type(fault).__name__} at {last}"
        if place not in self._places:
            file = self._folder / f"finding{len(self._places)}{self._kind.suffix}"
            file.write_bytes(content)
            self._places[place] = f"{file}\n{why}"
            self.tell()


def _words(examples: Sequence[bytes]) -> str:
    """Return libFuzzer's dictionary: the words of text examples, and numbers that are none."""
    found = {b"nan", b"inf", b"1e999", b"-1", b"0", b"99999999999999999999", b"\\u0000", b'"', b"()", b"{}"}
    for example in examples:
        if b"\0" not in example:
            found.update(word for word in example.split() if len(word) < 40)
    return "".join('"' + "".join(f"\\x{byte:02x}" for byte in word) + '"\n' for word in sorted(found))


def main(name: str, into: str, seed: str, seconds: str) -> None:
    """Fuzz; does not return."""
    logging.disable(logging.CRITICAL)
    warnings.simplefilter("ignore")
    kind = next(kind for kind in KINDS if kind.name == name)
    folder = Path(into)
    corpus = folder / "corpus"
    corpus.mkdir(parents=True, exist_ok=True)
    with atheris.instrument_imports(include=list(_INSTRUMENTED)):
        readers = kind.readers()
    examples = kind.examples()
    for number, example in enumerate(examples):
        (corpus / f"example{number}").write_bytes(example)
    (folder / "words.txt").write_text(_words(examples), encoding="ascii")
    attempts = Attempts(kind, readers, folder)
    options = [
        sys.argv[0], str(corpus), f"-dict={folder / 'words.txt'}", f"-seed={seed}", f"-max_total_time={seconds}",
        f"-timeout={SECONDS_EACH}", f"-rss_limit_mb={MOST_MIB}", f"-artifact_prefix={folder}/",
        f"-max_len={max(MOST_BYTES, *(2 * len(example) for example in examples))}", "-print_final_stats=1",
    ]  # fmt: skip
    change = kind.change
    if change is None:
        atheris.Setup(options, attempts)
    else:

        def changed(content: bytes, most: int, number: int) -> bytes:
            rng = random.Random(number)
            if rng.random() < 0.3:
                return atheris.Mutate(content, most)
            return change(content, most, rng, atheris.Mutate)[:most]

        atheris.Setup(options, attempts, custom_mutator=changed)
    attempts.tell()
    atheris.Fuzz()


if __name__ == "__main__":
    main(*sys.argv[1:])
