"""Handwritten digits on the simulated chip: what ``make sim`` runs.

Every held-out digit goes through the RTL of the whole system. Each layer must equal the numpy reference and each answer
that of ONNX Runtime, bit for bit, and at least 97 % of the digits must be recognised; otherwise the exit code is 1.
``build/sim/report.json`` holds every number; ``report.html`` beside it shows them.
"""

import sys
from pathlib import Path

import click
import numpy as np
import onnxruntime
from cimarron.config import PRESETS, load_config
from cimarron_sim.frontend import load
from cimarron_sim.report.files import NAMES, write_report
from cimarron_sim.report.progress import reported_progress
from cimarron_sim.report.table import print_run
from cimarron_sim.runner.session import run_model
from cimarron_sim.runner.simulation import SimulationError
from cimarron_sim.runner.tools import ToolError
from digits import held_out

HERE = Path(__file__).parent

#: Share of the digits that must be recognised.
REQUIRED_ACCURACY = 0.97

#: A pixel as two characters, from empty to full.
SHADES = ("  ", "░░", "▒▒", "▓▓", "██")


def picture(pixels: np.ndarray, caption: str) -> list[str]:
    """Lines of text that show one digit.

    Parameters
    ----------
    pixels : float32 array, shape (64,)
        0 to 16.
    caption : str
    """
    levels = np.rint(pixels / 16 * (len(SHADES) - 1)).astype(int).reshape(8, 8)
    return [*("".join(SHADES[level] for level in row) for row in levels), caption.center(16)]


def show(images: np.ndarray, labels: np.ndarray, answers: np.ndarray, count: int = 6) -> None:
    """Print some digits side by side: the first ones, but for two places that go to wrong answers."""
    wrong = [index for index in range(len(labels)) if answers[index] != labels[index]][:2]
    right = [index for index in range(len(labels)) if answers[index] == labels[index]][: count - len(wrong)]
    order = right + wrong
    captions = [
        f"says {answers[index]}" + ("" if answers[index] == labels[index] else f", is {labels[index]}")
        for index in order
    ]
    columns = [picture(images[index], caption) for index, caption in zip(order, captions, strict=True)]
    for line in zip(*columns, strict=True):
        print("   ".join(line))


def oracle(model: Path, arrays: list[np.ndarray]) -> list[np.ndarray]:
    """What ONNX Runtime answers."""
    session = onnxruntime.InferenceSession(model, providers=["CPUExecutionProvider"])
    name = session.get_inputs()[0].name
    return [np.asarray(session.run(None, {name: array})[0]) for array in arrays]


@click.command(help=__doc__)
@click.option("--model", default=HERE / "digits.onnx", type=click.Path(path_type=Path, exists=True, dir_okay=False))
@click.option("--config", default="default", help=f"{', '.join(PRESETS)}, or a TOML file.", show_default=True)
@click.option("--samples", default=360, type=click.IntRange(1, 360), show_default=True)
@click.option("--trace", type=click.Path(path_type=Path), help="Record waveforms in this VCD file.")
@click.option("-o", "--output", default=Path("build/sim"), type=click.Path(path_type=Path), show_default=True)
def main(model: Path, config: str, samples: int, trace: Path | None, output: Path) -> None:
    report = output / "report.json"
    for name in NAMES:
        (output / name).unlink(missing_ok=True)
    images, labels = (array[:samples] for array in held_out())
    graph = load(model)
    shape = graph.port(graph.inputs[0]).shape
    arrays = [image.reshape(shape) for image in images]
    expected = oracle(model, arrays)
    try:
        with reported_progress("digit") as progress:
            session = run_model(
                graph,
                load_config(config),
                arrays,
                trace=trace,
                announce=lambda text: print(text, file=sys.stderr),
                progress=progress,
            )
    except (SimulationError, ToolError) as error:
        sys.exit(str(error))

    outputs = session.outputs
    disagreements = sum(not np.array_equal(a, b) for a, b in zip(expected, outputs, strict=True))
    answers = np.array([int(output.reshape(-1).argmax()) for output in outputs])
    accuracy = float((answers == labels).mean())
    record = {**session.record, "oracle": "onnxruntime", "oracle_mismatches": disagreements, "accuracy": accuracy}
    write_report(output, record)

    show(images, labels, answers)
    print_run(record)
    print(f"{samples - disagreements} of {samples} answers equal ONNX Runtime's; accuracy {accuracy:.2%}; {report}")
    problems = [str(mismatch) for mismatch in session.mismatches[:10]]
    if session.mismatches:
        problems.append(f"{len(session.mismatches)} of {record['tensors_compared']} tensors differ from the reference")
    if disagreements:
        problems.append(f"{disagreements} of {samples} answers differ from ONNX Runtime's")
    if len(outputs) != samples:
        problems.append(f"{samples - len(outputs)} of {samples} answers are missing")
    if accuracy < REQUIRED_ACCURACY:
        problems.append(f"accuracy {accuracy:.2%} is below {REQUIRED_ACCURACY:.0%}")
    if problems:
        sys.exit("\n".join(problems))


if __name__ == "__main__":
    main()
