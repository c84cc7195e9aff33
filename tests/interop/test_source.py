"""Where published weights are: a folder, or a name on a Hub that is made here."""

import sys

import pytest
from huggingface_hub.utils import filter_repo_objects

from common.errors import UserError
from common.files import write_whole
from interop import source


def test_hub_names(tmp_path, monkeypatch):
    assert source.find_source(str(tmp_path)) == tmp_path
    with pytest.raises(UserError, match="is no folder; give a folder of published weights, or a Hub name"):
        source.find_source(str(tmp_path / "a" / "b"))
    monkeypatch.setitem(sys.modules, "huggingface_hub", None)
    with pytest.raises(UserError, match="pip install huggingface_hub"):
        source.find_source("org/name")

    part, index = "model-00001-of-00001.safetensors", "model.safetensors.index.json"
    hub = {
        "org/name": [
            part,
            index,
            "consolidated.safetensors",
            "pytorch_model.bin",
            "onnx/model.safetensors",
            "a/b.json",
        ],
        "org/old": ["config.json", "adapter.safetensors", "pytorch_model.bin", "original/model.safetensors"],
    }

    class Hub:
        @staticmethod
        def snapshot_download(name, allow_patterns, ignore_patterns):
            if name not in hub:
                raise OSError("no network\nat all")
            for file in filter_repo_objects(hub[name], allow_patterns=allow_patterns, ignore_patterns=ignore_patterns):
                write_whole(tmp_path / name / file, "")
            return str(tmp_path / name)

    monkeypatch.setitem(sys.modules, "huggingface_hub", Hub)
    for name, fetched in (("org/name", {part, index}), ("org/old", {"config.json", "pytorch_model.bin"})):
        assert {path.name for path in source.find_source(name).iterdir()} == fetched
    with pytest.raises(UserError, match=r"org/other cannot be fetched from the Hub: no network$"):
        source.find_source("org/other")
