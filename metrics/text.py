"""How near written texts come to their references: BLEU and chrF by sacrebleu, ROUGE by rouge-score."""

import re
from collections.abc import Callable, Sequence
from importlib.metadata import version

import numpy as np

from common.scripts import HAN, UNSPACED

ROUGE = ("rouge1", "rouge2", "rougeL")


def bleu_tokenizer(texts: Sequence[str]) -> str:
    """That of sacrebleu for the script that most letters of the texts are of."""
    letters = "".join(character for text in texts for character in text if character.isalpha())
    for name, script in (("zh", HAN), ("char", UNSPACED)):
        if 2 * len(re.findall(f"[{script}]", letters)) > len(letters):
            return name
    return "13a"


class Words:
    """A tokenizer for rouge-score, whose own knows the letters a to z alone: each run of letters and digits is a token, and
    each character of a script without spaces."""

    pattern = re.compile(rf"[{UNSPACED}]|[^\W_{UNSPACED}]+")

    def tokenize(self, text: str) -> list[str]:
        return self.pattern.findall(text.lower())


def text_statistics(
    predictions: Sequence[str], references: Sequence[str]
) -> tuple[list[np.ndarray], Callable[..., dict[str, float]], dict[str, str]]:
    """What is counted of each text, and the figures that follow from it, so that texts can be drawn anew for `bootstrap`.

    The figures are "bleu" (Papineni et al. 2002, with sacrebleu's tokenizer `zh` where most letters of the references are
    Chinese characters, `char` where they are of scripts without spaces, else `13a`) and "chrf" (chrF2, Popović 2015), from 0
    to 100 and of all texts together; "rouge1", "rouge2" and "rougeL" (Lin 2004, the F-measure), from 0 to 1, means over texts.

    Returns:
        arrays [texts, ...]; the function that makes figures of them; and how each figure was taken, as the libraries sign it.
    """
    from rouge_score.rouge_scorer import RougeScorer
    from sacrebleu.metrics import BLEU, CHRF

    counted = {"bleu": BLEU(tokenize=bleu_tokenizer(references)), "chrf": CHRF()}
    counts = [np.array(each._extract_corpus_statistics(predictions, [references])) for each in counted.values()]
    rouge = RougeScorer(list(ROUGE), tokenizer=Words())
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
    units = "words and characters of scripts without spaces"
    signatures["rouge"] = f"f-measure|tok:{units}|stemmer:no|version:{version('rouge-score')}"
    return [*counts, scores], statistics, signatures
