"""How near written texts come to their references: BLEU and chrF by sacrebleu, ROUGE by rouge-score."""

import re
from collections.abc import Callable, Sequence
from importlib.metadata import version

import numpy as np

from common.han import HAN

ROUGE = ("rouge1", "rouge2", "rougeL")


def is_chinese(texts: Sequence[str]) -> bool:
    """Whether most letters of the texts are Chinese characters."""
    letters = [character for text in texts for character in text if character.isalpha()]
    return 2 * len(re.findall(f"[{HAN}]", "".join(letters))) > len(letters)


class Characters:
    """A tokenizer for rouge-score, whose own knows Latin letters alone: each Chinese character is a token, and so is each
    run of other letters and digits."""

    pattern = re.compile(rf"[{HAN}]|[^\W_{HAN}]+")

    def tokenize(self, text: str) -> list[str]:
        return self.pattern.findall(text.lower())


def text_statistics(
    predictions: Sequence[str], references: Sequence[str]
) -> tuple[list[np.ndarray], Callable[..., dict[str, float]], dict[str, str]]:
    """What is counted of each text, and the figures that follow from it, so that texts can be drawn anew for `bootstrap`.

    The figures are "bleu" (Papineni et al. 2002, tokenized as sacrebleu's `zh` does where most letters of the references are
    Chinese characters, and as its `13a` does elsewhere) and "chrf" (chrF2, Popović 2015), from 0 to 100 and of all texts
    together; "rouge1", "rouge2" and "rougeL" (Lin 2004, the F-measure), from 0 to 1, means over texts.

    Returns:
        arrays [texts, ...]; the function that makes figures of them; and how each figure was taken, as the libraries sign it.
    """
    from rouge_score.rouge_scorer import RougeScorer
    from sacrebleu.metrics import BLEU, CHRF

    chinese = is_chinese(references)
    counted = {"bleu": BLEU(tokenize="zh" if chinese else "13a"), "chrf": CHRF()}
    counts = [np.array(each._extract_corpus_statistics(predictions, [references])) for each in counted.values()]
    rouge = RougeScorer(list(ROUGE), tokenizer=Characters() if chinese else None)
    pairs = zip(references, predictions, strict=True)
    scores = np.array([[score.fmeasure for score in rouge.score(*pair).values()] for pair in pairs])

    def statistics(*samples: np.ndarray) -> dict[str, float]:
        *counts, scores = samples
        sums = (each.sum(0).tolist() for each in counts)
        figures = {
            name: metric._compute_score_from_stats(each).score
            for (name, metric), each in zip(counted.items(), sums, strict=True)
        }
        return figures | dict(zip(ROUGE, scores.mean(0).tolist(), strict=True))

    signatures = {name: str(metric.get_signature()) for name, metric in counted.items()}
    units = "characters" if chinese else "words"
    signatures["rouge"] = f"f-measure|tok:{units}|stemmer:no|version:{version('rouge-score')}"
    return [*counts, scores], statistics, signatures
