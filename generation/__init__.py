"""Text from a trained model: decoding as pure functions, and completions of prompts."""
