"""Neural style transfer by optimisation: Gatys, Ecker and Bethge, Image Style Transfer Using CNNs, CVPR 2016."""
