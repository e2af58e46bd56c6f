import pytest
import torch

from catfish.errors import RecordError
from catfish.training import checkpoint

CPU = torch.device("cpu")


def test_round_trip_and_foreign_states(tmp_path):
    path = tmp_path / checkpoint.NAME
    assert checkpoint.load(path, "mine", CPU) is None
    checkpoint.save(path, {"fingerprint": "mine", "tensor": torch.arange(3), "epoch": 2})
    assert checkpoint.load(path, "mine", CPU)["tensor"].tolist() == [0, 1, 2]
    assert checkpoint.load(path, "another run's", CPU) is None
    assert [file.name for file in tmp_path.iterdir()] == [checkpoint.NAME]


def test_a_damaged_file_is_refused_by_name(tmp_path):
    path = tmp_path / checkpoint.NAME
    checkpoint.save(path, {"fingerprint": "mine", "tensor": torch.arange(1000)})
    path.write_bytes(path.read_bytes()[:1000])
    with pytest.raises(RecordError, match=r"checkpoint\.pt: damaged .* delete it"):
        checkpoint.load(path, "mine", CPU)


def test_nothing_in_the_file_is_executed(tmp_path):
    class Payload:
        def __reduce__(self):
            return (open, (str(tmp_path / "executed"), "w"))

    torch.save({"fingerprint": "mine", "payload": Payload()}, tmp_path / checkpoint.NAME)
    with pytest.raises(RecordError):
        checkpoint.load(tmp_path / checkpoint.NAME, "mine", CPU)
    assert not (tmp_path / "executed").exists()


def test_weights_go_into_a_network_like_the_one_they_come_from(tmp_path):
    path = tmp_path / "weights.pt"
    first, second = torch.nn.Linear(3, 2), torch.nn.Linear(3, 2)
    checkpoint.save(path, first.state_dict())
    checkpoint.load_weights(path, second)
    assert torch.equal(first.weight, second.weight)
    with pytest.raises(RecordError, match=r"weights\.pt: weights of another network"):
        checkpoint.load_weights(path, torch.nn.Linear(4, 2))
    with pytest.raises(RecordError, match=r"absent\.pt: missing"):
        checkpoint.load_weights(tmp_path / "absent.pt", second)
