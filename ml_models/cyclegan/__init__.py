"""Photo to Monet by a generator that was trained on unpaired pictures (Zhu et al. 2017, arXiv:1703.10593)."""
