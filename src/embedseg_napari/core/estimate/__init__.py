"""How good labels are, estimated from a random sample that a person judges; no ground truth is needed."""
