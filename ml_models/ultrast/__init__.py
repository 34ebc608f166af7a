"""UltraST: Collaborative Distillation (Wang et al. 2020, arXiv:2003.08436), for pictures of any size."""
