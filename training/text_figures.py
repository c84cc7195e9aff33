"""The figures of `evaluate.py` of text: of a language model, and of what is written for a source."""

from collections.abc import Mapping
from typing import Any

import numpy as np

from data.encoded import decoded_sizes
from metrics import bootstrap, language_model_metrics, text_statistics
from training.evaluation import DocumentSums
from training.found import Found, figures_of


def of_text(found: Found) -> dict[str, Any]:
    """Loss and perplexity and, where every token is a target, bits a byte."""
    metrics, measured, texts, sizes = found.evaluator.metrics(found.measured), found.measured, found.subject.texts, {}
    if "bits_per_byte" in metrics:
        sizes = {source: decoded_sizes(text, found.tokenizer) for source, text in texts.items()}
        for source, size in sizes.items():
            if size is None:
                found.say(f"{source}: tokens do not tell how long each document was; bits_per_byte has no interval")
    counts = {
        "tokens": int(found.weights.sum()),
        "bytes": sum(text.num_bytes for text in texts.values()),
        "documents": sum(len(text.starts) for text in texts.values()),
    }
    intervals = {name: bounds for name, bounds in _intervals(measured, sizes).items() if name in metrics}
    return {"metrics": metrics | counts, "intervals": intervals}


def of_pairs(found: Found) -> dict[str, Any]:
    """The same of the targets and, where the model is asked, how like them is what it writes."""
    figures = of_text(found)
    if found.subject.write is None:
        return figures
    pairs = [example.values for example in found.examples]
    written = found.subject.write([pair["source"] for pair in pairs])
    samples, statistics, signatures = text_statistics(written, [pair["target"] for pair in pairs])
    predictions = [pair | {"prediction": text} for pair, text in zip(pairs, written, strict=True)]
    of_written = figures_of(statistics, samples, figures["metrics"], signatures=signatures, predictions=predictions)
    return of_written | {"intervals": of_written["intervals"] | figures["intervals"]}


def _intervals(
    measured: Mapping[str, DocumentSums], sizes: Mapping[str, np.ndarray | None]
) -> dict[str, tuple[float, float]]:
    """Of all texts together, and of the bits a byte of each; `sizes`: bytes of each document, as far as they are known."""

    def of(sources: list[str]) -> dict[str, tuple[float, float]]:
        loss, weight = (
            np.concatenate([getattr(measured[source], name) for source in sources]) for name in ("loss", "weight")
        )
        known = [sizes.get(source) for source in sources]
        size = None if any(each is None for each in known) else np.concatenate(known)
        counted = weight > 0
        samples = [array[counted] for array in (loss, weight, size) if array is not None]

        def statistics(loss: np.ndarray, weight: np.ndarray, size: np.ndarray | None = None) -> dict[str, float]:
            return language_model_metrics(loss.sum(), weight.sum(), None if size is None else size.sum())

        return bootstrap(statistics, samples)

    by_source = {source: of([source]).get("bits_per_byte") for source in measured}
    bits = {f"bits_per_byte/{source}": bounds for source, bounds in by_source.items() if bounds is not None}
    return of([*measured]) | bits
