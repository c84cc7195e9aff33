"""Speed and quality, measured; README.md has the commands and what came out."""
