"""From records to results. Rule: pure folds; every number of a report can be had again from the files."""
