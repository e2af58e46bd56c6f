"""Extreme eigenvalues of a symmetric operator that is known only by its products with vectors (Lanczos 1950).

The basis is kept and every new vector is orthogonalised against all of it, twice (twice is enough: Parlett 1998,
section 6.9), so that rounding brings no spurious copies of an eigenvalue. A basis that has reached its largest size is
compressed to its outermost Ritz vectors and grows again (thick restart: Wu and Simon 2000).
"""

import math
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor

Product = Callable[[Tensor], Tensor]

_INTERVAL = 16  # the projected problem of a basis of s vectors is solved every 1 + s // 16 steps
_BEYOND = 3  # steps beyond the number of wanted values before residuals are believed; one more in a crowd
_SPARE = 8  # rows that a basis has at least beyond twice the wanted vectors: with fewer, restarts hardly progress
_LOST = 1e-3  # a random vector of which less is outside the basis is drawn anew: it may be the start itself
_FIRST_ROWS = 32  # the basis begins with these and doubles
_SLICE = 2**21  # numbers in the float64 copies that a restart works on


@dataclass(frozen=True, eq=False)
class Eigenpairs:
    """Eigenvalues (k,) in descending order and ||A v - theta v|| of each (k,), both float64 on the CPU.

    Within `residuals[i]` of `values[i]` lies an eigenvalue of A. `vectors` (k, P): unit eigenvectors, if asked for.
    `steps`: how many products it took. `converged`: `lanczos` says when.
    """

    values: Tensor
    residuals: Tensor
    steps: int
    converged: bool
    vectors: Tensor | None


def lanczos(
    product: Product,
    start: Tensor,
    count: int,
    which: Literal["largest", "smallest", "both"],
    tolerance: float = 1e-5,
    max_steps: int = 300,
    memory: int = 2**31,
    vectors: bool = False,
) -> Eigenpairs:
    """The `count` algebraically largest or smallest eigenvalues of the symmetric A: v (P,) -> A v = product(v) (P,).

    For both ends, values[:count] are the largest and values[-count:] the smallest (min(2 count, P) values in all).
    start (P,): a random vector, float32 or float64; its device and dtype are those of the basis, and the same start
    gives the same result. Converged when with r = tolerance * ||A||

    - every residual ||A v - theta v|| is at most r, so that an eigenvalue lies within r of every value, and
    - k + 4 steps or more were taken and, unless the basis had to be compressed, no other Ritz value reaches with twice
      its residual beyond the wanted ones by more than r (k + 3 steps if none comes nearer to them than ||A|| / 2). A
      start that is nearly an eigenvector, as a random one is of an operator of low rank, would otherwise pass for the
      outermost.

    ||A|| is the largest magnitude seen: relative to theta itself, rounding would leave an eigenvalue near zero no
    attainable accuracy. Of an eigenvalue that stands alone the error is about the residual's square over the gap. That
    no eigenvalue further out is missed no product can prove, only make likely: an eigenvector of which the start has
    hardly anything appears late. A tolerance near the eigenvalue's share of ||A|| invites that.

    Cost: `steps` products, 4 steps P operations a step. The basis takes `memory` bytes at most, half as much again
    while it grows. If `max_steps` do not suffice the result says so, and a RuntimeWarning does. A product that is not
    finite makes every value NaN.

    An eigenvalue that is repeated, or in a cluster narrower than the tolerance, can be reported once although it
    counts several times: a Krylov space holds one vector of each eigenspace. Where the space closes before it has
    to be compressed, because A has few distinct eigenvalues, further random vectors follow until one changes nothing.

    Raises ValueError for a start that is no vector, not of these dtypes, zero or not finite; a count not in 1..P; an
    unknown end; a tolerance that is not positive; fewer steps than values; too little memory to restart.
    """
    _check(start, count, which, tolerance)
    ends = (count if which != "smallest" else 0, count if which != "largest" else 0)
    rows = _rows(start, len(_outermost(len(start), ends)), max_steps, memory)
    # Rounding is all that is left of a product in an invariant subspace, but earlier steps may have magnified it.
    space = _Space(start.detach(), rows, negligible=max(1e-3 * tolerance, 10 * torch.finfo(start.dtype).eps))
    steps, settled = _iterate(space, product, ends, tolerance, max_steps)
    if not math.isfinite(space.coupling):
        return _broken(space, ends, steps, vectors)
    values, coordinates, residuals = space.ritz()
    wanted = _outermost(len(values), ends)
    doubt, allowed = _doubt(space, values, residuals, ends), tolerance * space.scale
    converged = settled and doubt <= allowed
    if not converged:
        message = f"lanczos: not converged after {steps} steps; uncertainty {doubt:.1e}, allowed {allowed:.1e}"
        warnings.warn(message, RuntimeWarning, stacklevel=2)
    found = coordinates.T[wanted].to(space.basis) @ space.basis if vectors else None
    return Eigenpairs(values[wanted], residuals[wanted], steps, converged, found)


class _Space:
    """An orthonormal basis, A projected on it, and the direction in which it grows.

    A V^T = [V^T direction] H, where V (size, P) is the basis and H (size + 1, size) holds what the orthogonalisation
    subtracts and, in its last row, what it leaves; so a restart needs no case of its own. The projected operator is H's
    upper triangle and its mirror image: what else is in H is rounding.
    """

    def __init__(self, start: Tensor, rows: int, negligible: float):
        self.rows = rows
        self.negligible = negligible  # relative to ||A||
        self.size = 0
        self.storage = start.new_empty(min(rows, _FIRST_ROWS), len(start))
        self.coefficients = torch.zeros(rows + 1, rows, dtype=torch.float64)  # H
        self.direction = start / start.norm()
        self.coupling = 0.0
        self.compressed = False
        self.scale = 0.0  # the best lower bound of ||A|| so far: of all ||A v|| and all Ritz values
        self.random = torch.Generator().manual_seed(0)  # on the CPU: the same vectors for every device

    @property
    def basis(self) -> Tensor:
        return self.storage[: self.size]

    @property
    def closed(self) -> bool:
        """Whether the basis spans an invariant subspace, because nothing to speak of is left of the last product."""
        return self.coupling <= self.negligible * self.scale

    def extend(self, product: Product) -> None:
        """One Lanczos step."""
        if self.size == len(self.storage):
            more = min(self.rows - self.size, self.size)
            self.storage = torch.cat([self.storage, self.storage.new_empty(more, self.storage.shape[1])])
        self.storage[self.size] = self.direction
        self.size += 1
        image = product(self.direction).detach()
        coefficients, rest = _orthogonalise(image, self.basis)
        self.scale = max(self.scale, image.norm().item())
        self.coupling = rest.norm().item()
        self.coefficients[: self.size, self.size - 1] = coefficients.cpu()
        self.coefficients[self.size, self.size - 1] = self.coupling
        self.direction = rest / self.coupling if self.coupling > 0 else rest

    def ritz(self) -> tuple[Tensor, Tensor, Tensor]:
        """Eigenvalues theta (size,) of A on the space, descending, the eigenvectors' coordinates s, the columns, and
        ||A v - theta v|| (size,) of v = V^T s.

        The basis is orthonormal, so the last is the norm of H s - theta [s 0] and needs no product; it includes the
        rounding of the products before.
        """
        values, coordinates = torch.linalg.eigh(self.coefficients[: self.size, : self.size], UPLO="U")
        self.scale = max(self.scale, values.abs().max().item())
        rest = self.coefficients[: self.size + 1, : self.size] @ coordinates
        rest[: self.size] -= coordinates * values
        return values.flip(0), coordinates.flip(1), rest.norm(dim=0).flip(0)

    def compress(self, values: Tensor, coordinates: Tensor) -> None:
        """Keeps the space of these Ritz pairs, values (k,), coordinates (size, k); the direction stays what it was."""
        kept = len(values)
        rotation = coordinates.T.to(self.storage.device)
        for columns in self.basis.split(max(1, _SLICE // self.size), dim=1):
            columns[:kept] = (rotation @ columns.double()).to(columns.dtype)
        last = self.coefficients[self.size, : self.size] @ coordinates
        self.coefficients.zero_()
        self.coefficients[range(kept), range(kept)] = values
        self.coefficients[kept, :kept] = last
        self.size = kept
        self.compressed = True

    def redirect(self) -> None:
        """Replaces the direction by a random one, orthogonal to the basis."""
        while True:
            draw = torch.randn(len(self.direction), generator=self.random, dtype=self.direction.dtype)
            rest = _orthogonalise(draw.to(self.direction.device) / draw.norm().item(), self.basis)[1]
            norm = rest.norm()
            if norm > _LOST:
                break
        self.direction = rest / norm


def _iterate(
    space: _Space, product: Product, ends: tuple[int, int], tolerance: float, max_steps: int
) -> tuple[int, bool]:
    """Grows the space until it holds the wanted eigenvectors, or for `max_steps`; how many it took, whether it does."""
    size = len(space.direction)
    count = len(_outermost(size, ends))
    spare = (space.rows - count) // 4
    before: Tensor | None = None  # the wanted values when the space was last closed
    earliest = count + _BEYOND  # the step before which residuals are no reason to stop
    look = 1  # the step at which to look at them next
    for step in range(1, max_steps + 1):
        space.extend(product)
        if not math.isfinite(space.coupling) or space.size == size:
            return step, True
        if not (space.closed or space.size == space.rows or step >= look or step == max_steps):
            continue
        look = step + 1 + space.size // _INTERVAL
        values, coordinates, residuals = space.ritz()
        wanted = _outermost(len(values), ends)
        margin = tolerance * space.scale
        if space.closed:
            # All pairs are exact, but copies of a repeated eigenvalue may be missing: until a fresh vector, given as
            # many steps as all before it, changes nothing.
            if before is not None and len(before) == count and (values[wanted] - before).abs().max() <= margin:
                return step, True
            before, earliest = values[wanted], 2 * step
        elif (
            step >= earliest
            and _doubt(space, values, residuals, ends) <= margin
            and (step > earliest or _reach(space, values, residuals, ends) <= -0.5 * space.scale)
        ):
            return step, True
        if space.size == space.rows and step < max_steps:
            kept = _outermost(len(values), tuple(end + spare if end else 0 for end in ends))
            space.compress(values[kept], coordinates[:, kept])
        if space.closed:
            space.redirect()
    return max_steps, False


def _doubt(space: _Space, values: Tensor, residuals: Tensor, ends: tuple[int, int]) -> float:
    """The largest residual of the wanted pairs, or `_reach` if that is more."""
    return max(residuals[_outermost(len(values), ends)].max().item(), _reach(space, values, residuals, ends))


def _reach(space: _Space, values: Tensor, residuals: Tensor, ends: tuple[int, int]) -> float:
    """How far beyond the wanted values another one may lie, by twice its residual; negative if it stays inside.

    Compression keeps the others from converging; by then the start is no longer what matters.
    """
    high, low = ends[0], len(values) - ends[1]
    reach = -math.inf
    if 0 < high < len(values) and not space.compressed:
        reach = ((values + 2 * residuals)[high:].max() - values[high - 1]).item()
    if 0 < low < len(values) and not space.compressed:
        reach = max(reach, (values[low] - (values - 2 * residuals)[:low].min()).item())
    return reach


def _broken(space: _Space, ends: tuple[int, int], steps: int, vectors: bool) -> Eigenpairs:
    """The result where a product is not finite."""
    warnings.warn(
        f"lanczos: not converged after {steps} steps; the last product is not finite", RuntimeWarning, stacklevel=3
    )
    shape = (len(_outermost(len(space.direction), ends)), len(space.direction))
    nan = torch.full(shape[:1], torch.nan, dtype=torch.float64)
    return Eigenpairs(nan, nan, steps, False, space.direction.new_full(shape, torch.nan) if vectors else None)


def _outermost(found: int, ends: tuple[int, int]) -> list[int]:
    """The positions of the first ends[0] and the last ends[1] of `found` values, each once."""
    return [i for i in range(found) if i < ends[0] or i >= found - ends[1]]


def _orthogonalise(vector: Tensor, basis: Tensor) -> tuple[Tensor, Tensor]:
    """The coordinates (size,) of a vector (P,) in an orthonormal basis (size, P), and what is left of it (P,)."""
    first = basis @ vector
    vector = torch.addmv(vector, basis.T, first, alpha=-1)
    second = basis @ vector
    return first + second, torch.addmv(vector, basis.T, second, alpha=-1)


def _check(start: Tensor, count: int, which: str, tolerance: float) -> None:
    if start.dim() != 1 or start.dtype not in (torch.float32, torch.float64):
        given = f"{start.dtype} of shape {tuple(start.shape)}"
        raise ValueError(f"start: {given} is not allowed; allowed: float32 or float64 of shape (P,)")
    if not 0 < start.norm().item() < math.inf:
        raise ValueError(f"start: norm {start.norm().item()} is not allowed; allowed: positive and finite")
    if not 1 <= count <= len(start):
        raise ValueError(f"count: {count} is not allowed; allowed: 1 to {len(start)}, the length of start")
    if which not in ("largest", "smallest", "both"):
        raise ValueError(f"which: {which!r} is not allowed; allowed: 'largest', 'smallest', 'both'")
    if not tolerance > 0:
        raise ValueError(f"tolerance: {tolerance} is not allowed; allowed: above 0")


def _rows(start: Tensor, wanted: int, max_steps: int, memory: int) -> int:
    """How many vectors the basis may hold. Raises ValueError for fewer steps than values, and for too little memory."""
    if max_steps < wanted:
        raise ValueError(f"max_steps: {max_steps} is not allowed; allowed: {wanted} or more, the number of values")
    most = min(len(start), max_steps)
    least = min(most, 2 * wanted + _SPARE)
    each = len(start) * start.element_size()
    if memory < least * each:
        raise ValueError(f"memory: {memory} is not allowed; allowed: {least * each} bytes or more, {least} vectors")
    return min(most, memory // each)
