"""Published weights in and out: name tables, readers and writers, and the proof that both sides compute the same.

Read in this order: `layout` (how an array of theirs lies in one of ours), `family` (a family's tables, and configs both ways),
`families/` (the tables), `reader`, `weights`, `writer`, `parity`.
"""
