"""Runs batches on an execution provider: bundle -> layout -> tensors -> engine."""
