"""`python -m editing audio-encoder STEP`: make the corpus, train, export, and judge the bundled encoder."""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import TYPE_CHECKING

from renderer.audio.encoder import BUNDLED, BUNDLED_PATH
from renderer.command_line import OneLineParser
from renderer.errors import BadInput

if TYPE_CHECKING:
    from collections.abc import Callable

DESCRIPTION = "Make the bundled audio encoder from synthetic speech, step by step: corpus, train, export, evaluate."


def parser() -> argparse.ArgumentParser:
    """The command's options."""
    p = OneLineParser(prog="python -m editing audio-encoder", description=DESCRIPTION)
    steps = p.add_subparsers(dest="step", required=True, metavar="STEP", parser_class=OneLineParser)

    corpus = steps.add_parser("corpus", help="synthesise the training speech (needs espeak-ng, flite, festival)")
    corpus.add_argument("--out", type=Path, required=True, help="folder of the corpus; what is there already is kept")
    corpus.add_argument("--processes", type=int, default=2, help="synthesisers at work (default 2)")
    corpus.add_argument("--seed", type=int, default=0, help="of everything random (default 0)")

    train = steps.add_parser("train", help="train, or go on with an unfinished run")
    train.add_argument("--corpus", type=Path, required=True, help="folder made by the corpus step")
    train.add_argument("--out", type=Path, required=True, help="folder of the run: checkpoint, log, network")
    train.add_argument("--minutes", type=float, default=38.0, help="wall time of the whole run (default 38)")
    train.add_argument("--batch", type=int, default=40, help="windows to a step (default 40)")
    train.add_argument("--learning-rate", type=float, default=1.5e-3, help="highest rate (default 0.0015)")
    train.add_argument("--emphasis", type=float, default=1.6, help="weight of what lips show most: m, b, p, f, v (default 1.6)")
    train.add_argument("--live-from", type=float, default=0.7, help="share of the run after which live steps count more (default 0.7)")
    train.add_argument("--threads", type=int, default=2, help="of torch (default 2)")
    train.add_argument("--seed", type=int, default=0, help="of everything random (default 0)")
    train.add_argument("--start-from", type=Path, nargs="+", default=[], help="folders of other runs; their weights' mean is the start")

    export = steps.add_parser("export", help="write the network of one or several runs as the bundled encoder")
    export.add_argument(
        "--run", type=Path, nargs="+", required=True, help="folder of a training run; of several, the weights' mean is taken"
    )
    export.add_argument("--out", type=Path, default=BUNDLED_PATH, help="file to write (default: the bundled encoder)")

    evaluate = steps.add_parser("evaluate", help="measure an encoder; without an input its figures are null")
    evaluate.add_argument("--encoder", default=BUNDLED, help="bundled, or an exported .onnx file (default bundled)")
    evaluate.add_argument("--corpus", type=Path, help="corpus folder: frame accuracy on what training never heard")
    evaluate.add_argument("--digits", type=Path, help="spoken digits, folder or ZIP of DIGIT_SPEAKER_TAKE.wav (with --corpus)")
    evaluate.add_argument("--speech", type=Path, help="real continuous speech")
    evaluate.add_argument("--transcript", type=Path, help="what --speech says (default: what pocketsphinx hears)")
    evaluate.add_argument("--run", type=Path, help="training run, for the curve of accuracy against look-ahead (with --corpus)")
    evaluate.add_argument("--json", action="store_true", help="print one JSON object")
    return p


def main(argv: list[str]) -> int:
    """Run one step."""
    arguments = parser().parse_args(argv)
    steps: dict[str, Callable[[argparse.Namespace], int]] = {
        "corpus": _corpus,
        "train": _train,
        "export": _export,
        "evaluate": _evaluate,
    }
    return steps[arguments.step](arguments)


def _corpus(arguments: argparse.Namespace) -> int:
    from editing.audio_encoder.corpus import make_corpus

    if arguments.processes < 1:
        raise BadInput(f"--processes {arguments.processes}: 1 or more is possible")
    paths = make_corpus(arguments.out, processes=arguments.processes, seed=arguments.seed)
    print(f"{len(paths)} shards in {arguments.out}")
    return 0


def _train(arguments: argparse.Namespace) -> int:
    from editing.audio_encoder.training import CHECKPOINT_NAME, TrainingConfig, train

    if arguments.batch < 1 or arguments.threads < 1:
        raise BadInput(f"--batch {arguments.batch}, --threads {arguments.threads}: 1 or more is possible")
    config = TrainingConfig(
        minutes=arguments.minutes,
        batch=arguments.batch,
        learning_rate=arguments.learning_rate,
        emphasis=arguments.emphasis,
        live_from=arguments.live_from,
        threads=arguments.threads,
        seed=arguments.seed,
    )
    print(f"wrote {train(config, arguments.corpus, arguments.out, [run / CHECKPOINT_NAME for run in arguments.start_from])}")
    return 0


def _export(arguments: argparse.Namespace) -> int:
    from editing.audio_encoder.export import ExportConfig, export_bundled
    from editing.audio_encoder.training import CHECKPOINT_NAME

    spec = export_bundled([run / CHECKPOINT_NAME for run in arguments.run], ExportConfig(), arguments.out)
    print(f"wrote {arguments.out}: {arguments.out.stat().st_size / 1e6:.2f} MB, sha256 {spec.sha256}")
    return 0


def _evaluate(arguments: argparse.Namespace) -> int:
    from editing.audio_encoder.evaluation import evaluate, look_ahead_curve
    from editing.audio_encoder.training import CHECKPOINT_NAME
    from renderer.audio.export import load_encoder

    if arguments.digits is not None and arguments.corpus is None:
        raise BadInput("--digits needs --corpus too: the phones' frequencies come from there")
    transcript = None
    if arguments.transcript is not None:
        try:
            transcript = arguments.transcript.read_text(encoding="utf-8")
        except (OSError, UnicodeDecodeError) as error:
            raise BadInput(f"--transcript {arguments.transcript}: {error}") from error
    encoder = load_encoder(arguments.encoder)
    report = evaluate(encoder, arguments.corpus, arguments.digits, arguments.speech, transcript)
    if arguments.run is not None and arguments.corpus is not None:
        report["look_ahead"] = look_ahead_curve(arguments.run / CHECKPOINT_NAME, arguments.corpus)
    print(json.dumps(report, indent=None if arguments.json else 2))
    return 0
