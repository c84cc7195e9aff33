"""Where published weights are: a folder, or a name on the Hub."""

import re
from pathlib import Path

from common.errors import UserError

WANTED = ("*.json", "*.model", "*.txt", "*.jinja")
SAFETENSORS = "model*.safetensors"


def find_source(source: str) -> Path:
    """The folder of `source`: itself, or where `huggingface_hub` keeps the model of that name, fetched if need be.

    Raises:
        UserError: there is no such folder, and it is no name, or one that cannot be fetched.
    """
    folder = Path(source).expanduser()
    if folder.is_dir():
        return folder
    if folder.exists() or not re.fullmatch(r"\w[\w.-]*/\w[\w.-]*", source):
        raise UserError(f"{source} is no folder; give a folder of published weights, or a Hub name as org/name")
    try:
        from huggingface_hub import snapshot_download
    except ImportError:
        raise UserError(
            f"there is no folder {source}; to fetch it from the Hub by that name, pip install huggingface_hub"
        ) from None

    def fetch(*patterns: str) -> Path:
        return Path(snapshot_download(source, allow_patterns=list(patterns), ignore_patterns=["*/*"]))

    try:
        fetched = fetch(*WANTED, SAFETENSORS)
        if not any(fetched.glob(SAFETENSORS)):
            fetched = fetch(*WANTED, "pytorch_model*.bin")
    except Exception as error:  # the network's, the Hub's, the disk's
        reason = str(error).strip().split("\n")[0][:200] or type(error).__name__
        raise UserError(f"{source} cannot be fetched from the Hub: {reason}") from error
    return fetched
