"""Configs: Python files with `get_config()`; each starts from `base.py` and changes a few lines."""
