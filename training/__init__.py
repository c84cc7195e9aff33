"""The loop and all that it needs: config, mesh, optimizer, step, checkpoints, the run's folder, what people see."""
