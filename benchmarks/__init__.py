"""Speed, measured: `train` against PyTorch, `choices` each choice of the code against the obvious alternative."""
