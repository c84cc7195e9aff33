"""What every other folder may use: errors for people, and writing files whole. Imports nothing of ours."""
