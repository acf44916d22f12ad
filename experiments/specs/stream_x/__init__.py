"""Stream-X, *Streaming Deep Reinforcement Learning Finally Works* (arXiv:2410.14606v2)."""
