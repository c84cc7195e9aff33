"""Text to batches: sources -> documents -> split -> tokens -> packed rows -> batches. Imports no JAX."""
