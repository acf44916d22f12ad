"""The figures of UPGD (arXiv:2404.00781)."""
