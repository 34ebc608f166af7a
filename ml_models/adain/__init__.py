"""Arbitrary style in one pass (Huang and Belongie 2017, arXiv:1703.06868)."""
