"""The picture of a run's losses."""

from pathlib import Path

from training.metrics_writer import read_metrics


def plot_losses(metrics: Path, picture: Path, title: str) -> None:
    """Draws training and validation loss over steps from metrics.jsonl as a PNG, the best validation marked.

    Raises:
        OSError: `picture` cannot be written.
    """
    from matplotlib.figure import Figure  # half a second to import, and needed only at the end

    records = read_metrics(metrics)
    figure = Figure(figsize=(8, 4.5), layout="constrained")
    axes = figure.subplots()
    train = [(record["step"], record["loss"]) for record in records if record["split"] == "train"]
    valid = [(record["step"], record["loss"]) for record in records if record["split"] == "valid"]
    if train:
        axes.plot(*zip(*train, strict=True), label="train", color="tab:blue", linewidth=1, alpha=0.8)
    if valid:
        axes.plot(*zip(*valid, strict=True), label="validation", color="tab:orange", marker="o", markersize=3)
        step, loss = min(valid, key=lambda point: point[1])
        axes.plot(step, loss, "*", color="tab:red", markersize=14, label=f"best: {loss:.3f} at step {step}")
    axes.set(title=title, xlabel="step", ylabel="loss (nats a token)")
    axes.grid(alpha=0.3)
    if records:
        axes.legend()
    figure.savefig(picture, dpi=120)
