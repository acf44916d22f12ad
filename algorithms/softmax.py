"""The softmax of a few numbers, whose bits do not depend on how many lanes there are."""

import torch
from torch import Tensor


def log_softmax(x: Tensor) -> Tensor:
    """Return the logarithms of the softmax over the last axis, in the form of x.

    The logarithm of the sum is taken anew for every component: of one number in each lane the compiler takes it by the
    library of C for up to three lanes and by that of vectors for more, which differ in the last bit.
    """
    shifted = x - x.amax(-1, keepdim=True)
    total = shifted.exp().sum(-1, keepdim=True)
    return shifted - torch.log(total.expand_as(shifted))
