"""Methods against forgetting as rules of one stream: S-EWC, S-MAS, S-SI and S-RWalk. They are told of no task.

Source: UPGD (arXiv:2404.00781), section 4.2 and appendix I.4, which makes streaming forms of EWC (arXiv:1612.00796), MAS
(arXiv:1711.09601), SI (arXiv:1703.04200) and RWalk (arXiv:1801.10112), and its official code. All of them descend

    g + kappa Omega (w - mean of w)

where the mean is an exponential average and Omega the importance of each weight, both corrected for their beginning at zero and
both with the newest sample already in them. Omega is

    S-EWC    average of g^2
    S-MAS    average of |g|
    S-SI     omega / (Delta^2 + damping); averages of g (w' - w) and of w' - w, where w' are the weights of the step before
    S-RWalk  score + F

S-RWalk, paper: score is the average with decay 1/2 of omega / (F (w' - w)^2 / 2 + damping), F the average of g^2. Code: omega
is that of the moment, negative scores count as zero, half the score of the moment stands for its average, F is an average of
w^2, and the F that the score is divided by is that of the step before, uncorrected.

S-SI of the paper's figures uses the weights of the step before, as here; earlier versions of the code used the initial ones.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from algorithms.adam import shares
from algorithms.agent import Info, LabelledSpaces, State, map_state
from algorithms.labelled import LabelledNetwork, Pass
from baselines.continual_settings import (
    ImportanceSettings,
    StreamingEWCSettings,
    StreamingMASSettings,
    StreamingRWalkSettings,
    StreamingSISettings,
)

# Of the average of S-RWalk's scores.
SCORE_DECAY = 0.5


class _Averages:
    """Exponential averages of one decay, and what corrects them."""

    def __init__(self, beta: Tensor, decay: Tensor, dtype: torch.dtype):
        self.decay = decay * beta
        self._keep, self._take = shares(beta, dtype)
        self._correction = (1 - self.decay).to(dtype)

    def follow(self, old: State, new: State) -> State:
        """Return averages with one more value in them."""
        return map_state(lambda x, y: self._keep * x + self._take * y, old, new)

    def corrected(self, average: Tensor) -> Tensor:
        """Return an average as if it had not begun at zero."""
        return average / self._correction


class _Importance(ImportanceSettings, LabelledNetwork):
    def _fresh(self, parameters: State, spaces: LabelledSpaces) -> State:
        one = torch.ones((), dtype=torch.float64)
        zeros = map_state(torch.zeros_like, parameters)
        own = {name: map_state(torch.clone, zeros) for name in self._traces()}
        return {"mean": zeros, "decay_mean": one, "decay_importance": one.clone(), **own, **self._begun(parameters)}

    def _traces(self) -> tuple[str, ...]:
        """Return the names of traces that begin at zero."""
        return ("importance",)

    def _begun(self, parameters: State) -> State:
        """Return what is remembered beside traces."""
        return {}

    def _update(self, state: State, passed: Pass) -> tuple[State, State, Info]:
        hyper, memory, w, g = state["hyper"], state["memory"], state["parameters"], passed.gradient
        dtype = w["0.weight"].dtype
        means = _Averages(hyper["beta_weight"], memory["decay_mean"], dtype)
        averages = _Averages(hyper["beta_importance"], memory["decay_importance"], dtype)
        mean = means.follow(memory["mean"], w)
        own, omega = self._weigh(hyper, memory, w, g, averages)
        alpha, pull = torch.stack([hyper["step_size"], hyper["step_size"] * hyper["kappa"]]).to(dtype)

        def moved(p: Tensor, slope: Tensor, weight: Tensor, centre: Tensor) -> Tensor:
            return p - alpha * slope - pull * weight * (p - means.corrected(centre))

        decays = {"decay_mean": means.decay, "decay_importance": averages.decay}
        return {"mean": mean, **decays, **own}, map_state(moved, w, g, omega, mean), {}

    def _weigh(self, hyper: State, memory: State, w: State, g: State, averages: _Averages) -> tuple[State, State]:
        """Return what is remembered of importance, and Omega."""
        importance = averages.follow(memory["importance"], map_state(self._size, g))
        return {"importance": importance}, map_state(averages.corrected, importance)

    def _size(self, g: Tensor) -> Tensor:
        raise NotImplementedError


@dataclass(frozen=True)
class StreamingEWC(StreamingEWCSettings, _Importance):
    """Elastic weight consolidation: importance is the average squared gradient."""

    def _size(self, g: Tensor) -> Tensor:
        return g * g


@dataclass(frozen=True)
class StreamingMAS(StreamingMASSettings, _Importance):
    """Memory-aware synapses: importance is the average magnitude of the gradient."""

    def _size(self, g: Tensor) -> Tensor:
        return g.abs()


class _Path(StreamingSISettings, _Importance):
    def _begun(self, parameters: State) -> State:
        return {"before": map_state(torch.zeros_like if self.first_step_from == "zero" else torch.clone, parameters)}

    def _damping(self, hyper: State, w: State) -> Tensor:
        damping: Tensor = hyper["damping"].to(w["0.weight"].dtype)
        return damping


@dataclass(frozen=True)
class StreamingSI(_Path):
    """Synaptic intelligence: importance is what the loss fell by along a weight's path, over its squared length."""

    def _traces(self) -> tuple[str, ...]:
        return ("omega", "path")

    def _weigh(self, hyper: State, memory: State, w: State, g: State, averages: _Averages) -> tuple[State, State]:
        damping = self._damping(hyper, w)
        step = map_state(torch.sub, memory["before"], w)
        omega = averages.follow(memory["omega"], map_state(torch.mul, g, step))
        path = averages.follow(memory["path"], step)

        def importance(gain: Tensor, length: Tensor) -> Tensor:
            return averages.corrected(gain) / (averages.corrected(length) ** 2 + damping)

        return {"omega": omega, "path": path, "before": w}, map_state(importance, omega, path)


@dataclass(frozen=True)
class StreamingRWalk(StreamingRWalkSettings, _Path):
    """Riemannian walk: importance is a score of the path, and an average of squares."""

    def _traces(self) -> tuple[str, ...]:
        return ("fisher",) if self.rwalk_variant == "code" else ("fisher", "omega", "score")

    def _weigh(self, hyper: State, memory: State, w: State, g: State, averages: _Averages) -> tuple[State, State]:
        damping = self._damping(hyper, w)
        step = map_state(torch.sub, memory["before"], w)
        gain = map_state(torch.mul, g, step)

        def score(gain: Tensor, fisher: Tensor, step: Tensor) -> Tensor:
            return gain / (0.5 * fisher * step * step + damping)

        if self.rwalk_variant == "code":
            fisher = averages.follow(memory["fisher"], map_state(torch.mul, w, w))
            scores = map_state(lambda *x: 0.5 * score(*x).clamp(min=0), gain, memory["fisher"], step)
            omega = map_state(lambda s, f: s + averages.corrected(f), scores, fisher)
            return {"fisher": fisher, "before": w}, omega
        fisher = averages.follow(memory["fisher"], map_state(torch.mul, g, g))
        gains = averages.follow(memory["omega"], gain)
        now = map_state(lambda g, f, s: score(averages.corrected(g), averages.corrected(f), s), gains, fisher, step)
        scores = map_state(lambda old, new: SCORE_DECAY * old + (1 - SCORE_DECAY) * new, memory["score"], now)
        omega = map_state(lambda s, f: s + averages.corrected(f), scores, fisher)
        return {"fisher": fisher, "omega": gains, "score": scores, "before": w}, omega
