"""Lanczos against the eigenvalues of explicit matrices."""

import warnings

import pytest
import torch
from torch.testing import assert_close

from catfish.curvature.lanczos import lanczos


def matrix(eigenvalues):
    """A dense symmetric float64 matrix with these eigenvalues."""
    size = len(eigenvalues)
    basis = torch.linalg.qr(torch.randn(size, size, generator=source(1), dtype=torch.float64))[0]
    product = (basis * torch.as_tensor(eigenvalues, dtype=torch.float64)) @ basis.T
    return (product + product.T) / 2


def source(seed):
    return torch.Generator().manual_seed(seed)


def start(size, dtype=torch.float64, seed=3):
    return torch.randn(size, generator=source(seed), dtype=dtype)


def exact(dense, count, which):
    values = torch.linalg.eigvalsh(dense.double()).flip(0)
    high, low = (count if which != "smallest" else 0), (count if which != "largest" else 0)
    return values[[i for i in range(len(values)) if i < high or i >= len(values) - low]]


def spread(size, low, high):
    return torch.linspace(low, high, size, dtype=torch.float64).tolist()


class Counted:
    """A matrix as an operator that counts its products."""

    def __init__(self, dense):
        self.dense = dense
        self.products = 0

    def __call__(self, vector):
        self.products += 1
        return self.dense @ vector


MATRICES = {
    "indefinite": matrix(spread(120, -3, 2)),
    "mostly negative": matrix([*spread(118, -50, -1), 0.5, 2]),
    "outliers above a bulk": matrix([30, 12, 11.5, 4, -2, *(0.01 * v for v in spread(100, -1, 1))]),
    "clustered": matrix([*spread(4, 5, 5.02), *spread(4, -4.02, -4), *spread(60, -1, 1)]),
    "repeated": matrix([3] * 4 + [1] * 3 + [0] * 20 + [-2] * 5),
    "rank deficient": matrix([5, 4, -1] + [0] * 90),
    "identity": torch.eye(40, dtype=torch.float64),
    "zero": torch.zeros(30, 30, dtype=torch.float64),
    "diagonal": torch.diag(torch.tensor([4.0, -7, 0, 1, 2.5, -0.1], dtype=torch.float64)),
    "1 x 1": torch.full((1, 1), -2.5, dtype=torch.float64),
}


@pytest.fixture(params=MATRICES)
def dense(request):
    return MATRICES[request.param]


@pytest.mark.parametrize("which", ["largest", "smallest", "both"])
@pytest.mark.parametrize("count", [1, 2, 4])
def test_values_are_the_outermost_of_the_matrix(dense, count, which):
    count = min(count, len(dense))
    expected = exact(dense, count, which)
    found = lanczos(lambda v: dense @ v, start(len(dense)), count, which, tolerance=1e-8)
    assert found.converged
    assert found.values.dtype == torch.float64 and found.values.shape == expected.shape
    assert_close(found.values, expected, rtol=0, atol=1e-8 * dense.abs().sum(0).max().item())


@pytest.mark.parametrize("which", ["largest", "smallest", "both"])
def test_every_eigenvalue_can_be_asked_for(dense, which):
    found = lanczos(lambda v: dense @ v, start(len(dense)), len(dense), which)
    assert found.steps == len(dense)
    assert_close(found.values, exact(dense, len(dense), which), rtol=0, atol=1e-12)


def test_the_sign_counts_and_not_the_magnitude():
    dense = MATRICES["mostly negative"]
    assert lanczos(lambda v: dense @ v, start(120), 1, "largest").values.item() == pytest.approx(2, abs=1e-6)
    assert lanczos(lambda v: dense @ v, start(120), 1, "smallest").values.item() == pytest.approx(-50, abs=1e-6)


@pytest.mark.parametrize("tolerance", [1e-2, 1e-5, 1e-9])
def test_residuals_are_true_and_bound_the_errors(dense, tolerance):
    count = min(3, len(dense))
    found = lanczos(lambda v: dense @ v, start(len(dense)), count, "both", tolerance, vectors=True)
    residuals = (dense @ found.vectors.T - found.vectors.T * found.values).norm(dim=0)
    scale = torch.linalg.matrix_norm(dense, 2).item()
    assert_close(found.residuals, residuals, rtol=1e-6, atol=1e-13)
    assert (found.residuals <= tolerance * scale).all()
    assert_close(
        found.vectors @ found.vectors.T, torch.eye(len(found.vectors), dtype=torch.float64), rtol=0, atol=1e-12
    )
    distances = (torch.linalg.eigvalsh(dense) - found.values[:, None]).abs().amin(1)
    assert (distances <= found.residuals + 1e-13).all()


def test_no_vectors_unless_asked_for():
    assert lanczos(lambda v: 2 * v, start(9), 1, "largest").vectors is None


@pytest.mark.parametrize("name", ["indefinite", "clustered", "mostly negative"])
@pytest.mark.parametrize("which", ["largest", "smallest", "both"])
def test_a_small_memory_restarts_and_agrees(name, which):
    dense = MATRICES[name]
    rows = 16
    operator = Counted(dense)
    found = lanczos(operator, start(len(dense)), 2, which, 1e-8, max_steps=2000, memory=rows * len(dense) * 8)
    assert found.converged and found.steps > rows
    assert operator.products == found.steps
    assert_close(found.values, exact(dense, 2, which), rtol=0, atol=1e-7)


def test_repeated_values_in_a_small_memory():
    """Four vectors close the space; its fourth closing fills it, and a fifth shows that nothing was missing."""
    dense = matrix([3] * 5 + [1] * 20 + [0] * 20 + [-2] * 9)
    found = lanczos(lambda v: dense @ v, start(54), 4, "largest", memory=16 * 54 * 8)
    assert found.steps == 20
    assert_close(found.values, torch.full((4,), 3.0, dtype=torch.float64), rtol=0, atol=1e-9)


def test_easy_operators_stop_early():
    operator = Counted(matrix([100, *(1e-3 * v for v in spread(300, -1, 1))]))
    assert lanczos(operator, start(301), 1, "largest").values.item() == pytest.approx(100)
    assert operator.products == 4
    operator = Counted(5 * torch.eye(200, dtype=torch.float64))
    lanczos(operator, start(200), 1, "largest")
    assert operator.products == 2  # one for the space, one for the fresh vector


@pytest.mark.parametrize("which", ["largest", "smallest", "both"])
def test_float32_operators(dense, which):
    single = dense.float()
    count = min(3, len(dense))
    found = lanczos(lambda v: single @ v, start(len(dense), torch.float32), count, which, vectors=True)
    assert found.converged
    assert found.values.dtype == torch.float64 and found.vectors.dtype == torch.float32
    scale = torch.linalg.matrix_norm(dense, 2).item()
    assert_close(found.values, exact(single, count, which), rtol=0, atol=1e-5 * scale)
    true = (single.double() @ found.vectors.double().T - found.vectors.double().T * found.values).norm(dim=0)
    assert_close(found.residuals, true, rtol=0, atol=2e-6 * scale)


def diagonal(eigenvalues):
    values = torch.cat([torch.as_tensor(part, dtype=torch.float64) for part in eigenvalues])
    return values, lambda v: values * v


SPECTRA = {  # of large operators, tolerance 1 % of the largest magnitude, 1
    "a bulk and outliers": [[1, 0.6, 0.5, 0.4, -0.2], spread(5000, -0.01, 0.01)],
    "a bulk and outliers close together": [[1, 0.98, 0.97, 0.96, 0.95, -0.3], spread(5000, -0.01, 0.01)],
    "outliers in a row": [spread(12, 0.8, 1), [-0.3], spread(5000, -0.002, 0.002)],
    "a wide bulk": [[1, -0.9], spread(5000, -0.6, 0.6)],
    "low rank": [[1, 0.5, -0.4], [0] * 5000],
    "decay": [[1 / i for i in range(1, 5001)]],
    "no gap": [spread(5000, -1, 1)],
}


@pytest.mark.parametrize("which", ["largest", "smallest"])
@pytest.mark.parametrize("name", SPECTRA)
def test_the_outermost_within_the_tolerance_from_random_starts(name, which):
    """In such a large space a random vector is nearly an eigenvector of zero: its own residual proves nothing."""
    values, product = diagonal(SPECTRA[name])
    outermost = (values.max() if which == "largest" else values.min()).item()
    for seed in range(6):
        found = lanczos(product, start(len(values), seed=seed), 1, which, tolerance=1e-2)
        assert found.converged
        assert found.values.item() == pytest.approx(outermost, abs=1e-2)


@pytest.mark.parametrize("eigenvector", [1, 3, 2000])
@pytest.mark.parametrize("name", ["a bulk and outliers", "low rank", "decay"])
def test_a_start_that_is_nearly_an_inner_eigenvector(name, eigenvector):
    """Hardly any of the outermost one in it, and a residual below the tolerance from the first step on."""
    values, product = diagonal(SPECTRA[name])
    for seed in range(6):
        noise = start(len(values), seed=seed)
        vector = 0.3 * noise / noise.norm()
        vector[eigenvector] += 1
        found = lanczos(product, vector, 1, "largest", tolerance=1e-2)
        assert found.values.item() == pytest.approx(1, abs=1e-2)


def test_values_that_may_lie_further_out_are_waited_for():
    """The start is an eigenvector inside the bulk, far within the tolerance of one at its end, which comes later."""
    bulk = 0.003 * start(5000, seed=5)
    values, product = diagonal([[1, 0.98, 0.97, 0.96, 0.95], bulk[5:]])
    for seed in range(6):
        noise = start(5000, seed=seed)
        vector = 0.3 * noise / noise.norm()
        vector[2500] += 1
        found = lanczos(product, vector, 1, "smallest", tolerance=1e-3)
        assert found.values.item() == pytest.approx(values.min().item(), abs=1e-3)


@pytest.mark.parametrize("tolerance", [1e-1, 1e-2, 1e-3])
def test_fresh_vectors_are_not_the_start(tolerance):
    """A start drawn as the first of them is would leave nothing but rounding to go on with."""
    vector = torch.randn(20000, generator=source(0), dtype=torch.float64)
    _, product = diagonal([[1, 0.5, -0.2], [0] * 19997])
    found = lanczos(product, vector / vector.norm(), 1, "smallest", tolerance)
    assert found.steps < 10
    assert found.values.item() == pytest.approx(-0.2, abs=1e-9)


def test_few_steps_are_not_believed():
    """Four steps whose residual is small, in an operator whose outermost eigenvalue the start does not know."""
    _, product = diagonal([[1, 0.5], [0] * 500])
    vector = torch.zeros(502, dtype=torch.float64)
    vector[1:] = 1e-9 * start(501)
    vector[1] = 1
    with pytest.warns(RuntimeWarning, match="not converged after 1 steps"):
        assert not lanczos(product, vector, 1, "largest", tolerance=1e-2, max_steps=1).converged


def test_the_start_determines_everything():
    dense = MATRICES["indefinite"]
    torch.manual_seed(4)
    random = torch.get_rng_state()
    runs = [lanczos(lambda v: dense @ v, start(120), 2, "both", vectors=True) for _ in range(2)]
    assert torch.equal(runs[0].values, runs[1].values) and torch.equal(runs[0].vectors, runs[1].vectors)
    assert torch.equal(torch.get_rng_state(), random)
    other = lanczos(lambda v: dense @ v, start(120, seed=8), 2, "both")
    assert not torch.equal(other.values, runs[0].values)
    assert_close(other.values, runs[0].values, rtol=0, atol=1e-4)


def test_fresh_vectors_leave_the_global_randomness_alone():
    torch.manual_seed(4)
    random = torch.get_rng_state()
    runs = [lanczos(lambda v: v, start(30), 5, "largest", vectors=True) for _ in range(2)]
    assert torch.equal(runs[0].vectors, runs[1].vectors)
    assert torch.equal(torch.get_rng_state(), random)


def test_too_few_steps_are_told():
    dense = MATRICES["indefinite"]
    with pytest.warns(RuntimeWarning, match=r"lanczos: not converged after 8 steps; uncertainty .*, allowed .*"):
        found = lanczos(lambda v: dense @ v, start(120), 2, "largest", max_steps=8, vectors=True)
    assert not found.converged and found.steps == 8
    residuals = (dense @ found.vectors.T - found.vectors.T * found.values).norm(dim=0)
    assert_close(found.residuals, residuals)
    assert found.residuals.max() > 1e-3


def test_an_operator_that_is_not_symmetric_does_not_pass():
    dense = torch.randn(50, 50, generator=source(2), dtype=torch.float64)
    with pytest.warns(RuntimeWarning, match="not converged"):
        assert not lanczos(lambda v: dense @ v, start(50), 1, "largest").converged


@pytest.mark.parametrize("bad", [torch.nan, torch.inf])
def test_a_product_that_is_not_finite_gives_nan(bad):
    operator = Counted(MATRICES["indefinite"])

    def product(vector):
        return operator(vector) + (bad if operator.products == 3 else 0)

    with pytest.warns(RuntimeWarning, match="not converged after 3 steps; the last product is not finite"):
        found = lanczos(product, start(120), 2, "both", vectors=True)
    assert not found.converged
    assert found.values.shape == (4,) and found.values.isnan().all() and found.residuals.isnan().all()
    assert found.vectors.shape == (4, 120) and found.vectors.isnan().all()


def test_a_product_may_return_its_argument():
    assert_close(lanczos(lambda v: v, start(6), 3, "largest").values, torch.ones(3, dtype=torch.float64))


def test_the_start_keeps_its_value_and_products_may_carry_gradients():
    dense = MATRICES["diagonal"].clone().requires_grad_()
    vector = start(6).requires_grad_()
    before = vector.detach().clone()
    values = lanczos(lambda v: dense @ v, vector, 6, "largest").values
    assert not values.requires_grad
    assert torch.equal(vector.detach(), before) and vector.grad is None and dense.grad is None


def test_the_largest_basis_need_not_be_reached():
    """Converged within the first rows: later ones are never allocated, whatever the limits."""
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        found = lanczos(lambda v: 3 * v, start(2000), 1, "largest", max_steps=1999, memory=2**60)
    assert found.values.item() == pytest.approx(3)


@pytest.mark.parametrize(
    "changes, message",
    [
        ({"count": 7}, "count: 7 is not allowed; allowed: 1 to 6, the length of start"),
        ({"count": 0}, "count: 0 is not allowed; allowed: 1 to 6, the length of start"),
        ({"which": "LM"}, "which: 'LM' is not allowed; allowed: 'largest', 'smallest', 'both'"),
        ({"tolerance": 0.0}, "tolerance: 0.0 is not allowed; allowed: above 0"),
        ({"tolerance": torch.nan}, "tolerance: nan is not allowed; allowed: above 0"),
        ({"max_steps": 1, "count": 2}, "max_steps: 1 is not allowed; allowed: 2 or more, the number of values"),
        ({"memory": 287}, "memory: 287 is not allowed; allowed: 288 bytes or more, 6 vectors"),
        ({"start": torch.zeros(6)}, "start: norm 0.0 is not allowed; allowed: positive and finite"),
        ({"start": torch.full((6,), torch.nan)}, "start: norm nan is not allowed; allowed: positive and finite"),
        (
            {"start": torch.ones(6, dtype=torch.int64)},
            r"start: torch.int64 of shape \(6,\) is not allowed; allowed: float32 or float64 of shape \(P,\)",
        ),
        ({"start": torch.ones(2, 3)}, r"start: torch.float32 of shape \(2, 3\) is not allowed"),
    ],
)
def test_errors_name_the_argument_and_what_is_allowed(changes, message):
    arguments = {"start": start(6), "count": 1, "which": "largest"} | changes
    with pytest.raises(ValueError, match=message):
        lanczos(lambda v: v, **arguments)
