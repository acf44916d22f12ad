"""Classic incremental learners: eligibility traces with Adam and none of the parts that Stream-X adds.

Source: Stream-X (arXiv:2410.14606), appendices F.1 (TD: step 3e-4), F.2 and F.3 (Q and SARSA: 1e-5), F.4 (AC: 1e-7), all with
betas (0.9, 0.999), epsilon 1e-4, lambda 0.8. The steps of Q, SARSA and AC are the largest that did not diverge; that of AC on
HalfCheetah and Ant within 2M steps, while on Hopper and Walker2d classic AC diverged even at 1e-11.

Our choice, since it was not published:
1. Network of the same widths with LeakyReLU, dense LeCun-uniform weights, no LayerNorm.
2. Raw observations and rewards; the same time feature and action clipping; the same entropy term inside the trace.
"""

from __future__ import annotations

from algorithms.stream_ac import StreamAC
from algorithms.stream_q import StreamQ
from algorithms.stream_sarsa import StreamSARSA
from algorithms.stream_td import StreamTD
from baselines import settings


class ClassicAC(StreamAC, settings.ClassicACSettings):
    """AC(lambda) with Adam: Stream AC with every one of its components taken out."""


class ClassicQ(StreamQ, settings.ClassicQSettings):
    """Q(lambda) with Adam: Stream Q with every one of its components taken out."""


class ClassicSARSA(StreamSARSA, settings.ClassicSARSASettings):
    """SARSA(lambda) with Adam: Stream SARSA with every one of its components taken out."""


class ClassicTD(StreamTD, settings.ClassicTDSettings):
    """TD(lambda) with Adam: Stream TD with every one of its components taken out."""
