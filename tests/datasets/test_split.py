import numpy as np
import pytest

from catfish.datasets import DataError, load_split, make_split, write_split

LABELS = np.random.default_rng(1).integers(0, 10, 5000)


def same(a, b):
    arrays = ("train_index", "train_labels", "clean_labels", "noisy", "validation_index")
    return a.metadata == b.metadata and all(np.array_equal(getattr(a, key), getattr(b, key)) for key in arrays)


def test_everything_is_used_once():
    split = make_split(LABELS, 10, validation=700, seed=3)
    together = np.concatenate([split.train_index, split.validation_index])
    assert len(split.validation_index) == 700
    assert np.array_equal(np.sort(together), np.arange(5000))
    assert np.array_equal(split.train_labels, LABELS[split.train_index])
    assert not split.noisy.any()
    assert split.metadata == {"examples": 4300, "validation": 700, "noise": 0.0, "seed": 3, "classes": 10}


@pytest.mark.parametrize("noise", [0.0, 0.001, 0.25, 0.5, 1.0])
def test_exact_number_of_replaced_labels(noise):
    split = make_split(LABELS, 10, validation=1001, noise=noise)
    assert split.noisy.sum() == round(noise * 3999)
    assert np.array_equal(split.clean_labels, LABELS[split.train_index])
    assert np.array_equal(split.train_labels[~split.noisy], split.clean_labels[~split.noisy])


def test_replacements_are_uniform_over_all_classes():
    split = make_split(LABELS, 10, noise=1.0)
    drawn = np.bincount(split.train_labels, minlength=10)
    assert np.abs(drawn - 500).max() < 5 * np.sqrt(500 * 0.9)  # five standard deviations
    kept = (split.train_labels == split.clean_labels).sum()
    assert abs(kept - 500) < 5 * np.sqrt(500 * 0.9)


def test_validation_depends_on_the_seed_only():
    reference = make_split(LABELS, 10, validation=500, seed=7).validation_index
    for options in ({"noise": 0.25}, {"noise": 0.5, "examples": 100}, {"examples": 4500}):
        assert np.array_equal(make_split(LABELS, 10, validation=500, seed=7, **options).validation_index, reference)
    assert not np.array_equal(make_split(LABELS, 10, validation=500, seed=8).validation_index, reference)


def test_fewer_examples_are_nested_in_more():
    small, large = (make_split(LABELS, 10, validation=500, examples=n) for n in (100, 1000))
    assert np.array_equal(large.train_index[:100], small.train_index)


def test_less_noise_is_nested_in_more():
    less, more = (make_split(LABELS, 10, noise=noise) for noise in (0.25, 0.5))
    assert np.array_equal(less.train_index, more.train_index)
    assert more.noisy[less.noisy].all()
    assert np.array_equal(less.train_labels[less.noisy], more.train_labels[less.noisy])


def test_first_indices_and_labels():
    """Hard-coded: a numpy that draws other numbers would silently make other splits."""
    split = make_split(np.arange(5000) % 10, 10, validation=100, noise=0.5, seed=0)
    assert split.validation_index[:5].tolist() == [3477, 113, 4778, 2649, 3909]
    assert split.train_index[:5].tolist() == [3555, 3427, 2921, 1338, 4101]
    assert np.flatnonzero(split.noisy)[:5].tolist() == [2, 3, 4, 6, 7]
    assert split.train_labels[split.noisy][:8].tolist() == [4, 0, 9, 2, 7, 2, 9, 7]


def test_written_and_read(tmp_path):
    split = make_split(LABELS, 10, examples=1000, validation=500, noise=0.25, seed=2)
    for name in ("a.npz", "b.npz"):
        write_split(make_split(LABELS, 10, examples=1000, validation=500, noise=0.25, seed=2), tmp_path / "new" / name)
    assert same(load_split(tmp_path / "new" / "a.npz"), split)
    assert (tmp_path / "new" / "a.npz").read_bytes() == (tmp_path / "new" / "b.npz").read_bytes()
    assert len(list((tmp_path / "new").iterdir())) == 2


def test_missing_split(tmp_path):
    with pytest.raises(DataError, match=r"split\.npz: missing"):
        load_split(tmp_path / "split.npz")


def test_damaged_split(tmp_path):
    path = tmp_path / "split.npz"
    write_split(make_split(LABELS, 10), path)
    content = path.read_bytes()
    for damaged in (b"", b"text", content[: len(content) // 2], content[:500] + b"?" + content[501:]):
        path.write_bytes(damaged)
        with pytest.raises(DataError, match=r"split\.npz: damaged"):
            load_split(path)


def test_a_file_without_the_arrays_of_a_split(tmp_path):
    np.savez(tmp_path / "split.npz", train_index=np.arange(3))
    with pytest.raises(DataError, match=r"split\.npz: damaged .*train_labels"):
        load_split(tmp_path / "split.npz")


@pytest.mark.parametrize(
    "options, message",
    [
        ({"validation": 5000}, "validation: 5000 is not allowed; allowed: an integer from 0 to 4999"),
        ({"validation": -1}, "validation: -1 is not allowed"),
        ({"validation": 1000, "examples": 4001}, r"examples: 4001 .* from 1 to 4000 \(5000 less 1000 validation\)"),
        ({"examples": 0}, "examples: 0 is not allowed"),
        ({"examples": 10.0}, "examples: 10.0 is not allowed"),
        ({"noise": 1.5}, "noise: 1.5 is not allowed; allowed: a fraction from 0 to 1"),
        ({"noise": -0.1}, "noise: -0.1"),
        ({"noise": float("nan")}, "noise: nan"),
        ({"seed": -1}, "seed: -1 is not allowed; allowed: an integer from 0"),
    ],
)
def test_impossible_requests(options, message):
    with pytest.raises(ValueError, match=message):
        make_split(LABELS, 10, **options)


@pytest.mark.parametrize("labels", [np.array([0, 10]), np.array([-1, 0]), np.array([0.0]), np.zeros((2, 2), int), []])
def test_impossible_labels(labels):
    with pytest.raises(DataError, match="labels: "):
        make_split(labels, 10)
