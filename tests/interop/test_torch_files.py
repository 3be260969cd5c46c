"""Torch itself writes the sound files here; the hostile ones must run nothing."""

import collections
import io
import os
import pickle
import struct
import zipfile

import numpy as np
import pytest
from safetensors.numpy import save_file

from hm3_jax.interop.torch_files import RefusedPickle, load_state_dict, load_tensors

torch = pytest.importorskip("torch", reason="needs torch to write torch files")

DTYPES = {
    torch.float16: np.float16,
    torch.float32: np.float32,
    torch.float64: np.float64,
    torch.bfloat16: np.float32,
    torch.int8: np.int8,
    torch.uint8: np.uint8,
    torch.int16: np.int16,
    torch.int32: np.int32,
    torch.int64: np.int64,
    torch.bool: np.bool_,
}


def plain(value):
    return pickle.dumps(value)


def zipped(value):
    buffer = io.BytesIO()
    torch.save(value, buffer)
    return buffer.getvalue()


def old(value):
    buffer = io.BytesIO()
    torch.save(value, buffer, _use_new_zipfile_serialization=False)
    return buffer.getvalue()


WRITERS = [plain, zipped, old]


@pytest.fixture
def load(tmp_path):
    def load(data):
        (tmp_path / "file").write_bytes(data)
        return load_tensors(tmp_path / "file")

    return load


@pytest.mark.parametrize("write", WRITERS)
@pytest.mark.parametrize("dtype", DTYPES, ids=str)
def test_tensors_of_every_dtype_come_back(load, write, dtype):
    tensor = torch.tensor([[-2.5, 0, 1], [1.5, 100, 3]]).to(dtype)
    array = load(write(tensor))
    expected = tensor.float() if dtype == torch.bfloat16 else tensor
    np.testing.assert_array_equal(array, expected.numpy(), strict=True)
    assert array.dtype == DTYPES[dtype]


@pytest.mark.parametrize("write", WRITERS)
@pytest.mark.parametrize(
    "make",
    [
        lambda t: t,
        lambda t: t.T,
        lambda t: t[1:, ::2],
        lambda t: t[2],
        lambda t: t[2, 3],
        lambda t: t[:0],
        lambda t: t[:1].expand(5, 6),
        lambda t: torch.nn.Parameter(t),
        lambda t: t.clone().requires_grad_(),
    ],
)
def test_views_of_tensors_come_back(load, write, make):
    tensor = make(torch.arange(24.0).reshape(4, 6))
    np.testing.assert_array_equal(
        load(write(tensor)), tensor.detach().numpy(), strict=True
    )


@pytest.mark.parametrize("write", WRITERS)
def test_containers_come_back(load, write):
    tensor = torch.arange(6.0)
    value = {
        "dict": {"a": tensor, 3: None},
        "ordered": collections.OrderedDict(b=tensor[2:]),
        "list": [tensor, [True, 2, 3.5, "text"]],
        "tuple": (tensor, ()),
        "rooms": list(tensor.reshape(3, 2).split(1)),
    }
    loaded = load(write(value))
    assert list(loaded) == list(value)
    assert type(loaded["ordered"]) is dict
    assert loaded["dict"][3] is None
    assert loaded["list"][1] == [True, 2, 3.5, "text"]
    assert type(loaded["tuple"]) is tuple
    np.testing.assert_array_equal(loaded["ordered"]["b"], tensor[2:])
    np.testing.assert_array_equal(
        np.concatenate(loaded["rooms"]), [[0, 1], [2, 3], [4, 5]]
    )


@pytest.mark.parametrize("write", WRITERS)
def test_a_piece_does_not_hold_the_whole(load, write):
    # Rooms split off one tensor are pickled with all of it each.
    array = load(write(torch.zeros(1000)[:3]))
    assert array.base is None


class Asks:
    """Pickles as a call for `function`."""

    def __init__(self, function, *arguments):
        self.call = function, arguments

    def __reduce__(self):
        return self.call


def stack_global(module, name):
    def text(value):
        return b"\x8c" + bytes([len(value)]) + value.encode()

    return text(module) + text(name) + b"\x93"


def nested(data):
    """A pickle that has `data` loaded as the bytes of a storage."""
    return (
        b"\x80\x04"
        + stack_global("torch.storage", "_load_from_bytes")
        + b"B"
        + struct.pack("<I", len(data))
        + data
        + b"\x85R."
    )


def zip_of(program):
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        archive.writestr("archive/data.pkl", program)
    return buffer.getvalue()


REBUILD = b"ctorch._utils\n_rebuild_tensor_v2\n"
HOSTILE = {
    "os.system": b"cos\nsystem\n(X\x0e\x00\x00\x00touch executedtR.",
    "posix.system": plain(Asks(os.system, "touch executed")),
    "builtins.eval": plain(Asks(eval, "open('executed', 'w')")),
    "builtins.exec": b"\x80\x04" + stack_global("builtins", "exec") + b".",
    "builtins.getattr": plain(Asks(getattr, "", "join")),
    "torch.hub.load": plain([Asks(torch.hub.load, "owner/name", "model")]),
    "torch.load": b"ctorch\nload\n.",
    "torch.serialization.load": plain({"a": Asks(torch.load, "file")}),
    "numpy._core.multiarray._reconstruct": plain(np.zeros(3)),
    "numpy.load": b"cnumpy\nload\n.",
    "numpy.f2py.crackfortran.myeval": b"cnumpy.f2py.crackfortran\nmyeval\n.",
    "_pickle.loads": plain(Asks(pickle.loads, b"")),
    "torch.storage._load_from_bytes.__globals__": (
        b"\x80\x04"
        + stack_global("torch.storage", "_load_from_bytes.__globals__")
        + b"."
    ),
    "torch._utils._rebuild_tensor_v2.__globals__": (
        b"\x80\x04"
        + stack_global("torch._utils", "_rebuild_tensor_v2.__globals__")
        + b"."
    ),
    "collections.OrderedDict.fromkeys": (
        b"\x80\x04" + stack_global("collections", "OrderedDict.fromkeys") + b"."
    ),
    # The obsolete ways to make an instance.
    "subprocess.Popen": b"(S'touch executed'\nisubprocess\nPopen\n.",
    "os.popen": b"\x80\x02(cos\npopen\nX\x0e\x00\x00\x00touch executedo.",
}


@pytest.mark.parametrize("name", HOSTILE)
@pytest.mark.parametrize(
    "wrap",
    [
        lambda data: data,
        lambda data: nested(data),
        lambda data: nested(zip_of(data)),
        lambda data: nested(old(0)[:-9] + data),
        lambda data: zip_of(data),
    ],
    ids=["plain", "nested", "nested zip", "nested after a sound head", "zip"],
)
def test_what_is_no_tensor_is_refused_by_name_and_not_run(
    load, tmp_path, monkeypatch, name, wrap
):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(RefusedPickle) as caught:
        load(wrap(HOSTILE[name]))
    message = str(caught.value)
    assert f"found a call for {name}: refused" in message
    assert message.startswith(f"{tmp_path / 'file'}: ")
    assert not (tmp_path / "executed").exists()


@pytest.mark.parametrize("write", [zipped, old])
def test_torch_save_of_other_things_is_refused(load, tmp_path, monkeypatch, write):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(RefusedPickle, match="posix.system: refused"):
        load(write({"weight": torch.zeros(2), "x": Asks(os.system, "touch executed")}))
    assert not (tmp_path / "executed").exists()


def test_a_whole_module_is_refused(load):
    with pytest.raises(RefusedPickle, match="torch.nn.modules.linear.Linear"):
        load(zipped(torch.nn.Linear(2, 2)))


def test_nested_bytes_hold_one_storage_and_nothing_else(load):
    for write in (zipped, old):
        with pytest.raises(RefusedPickle, match="found nested dict"):
            load(nested(write({})))
        with pytest.raises(RefusedPickle, match="found nested _Tensor"):
            load(nested(write(torch.zeros(2))))
    # torch.save has no use for storages in bytes.
    with pytest.raises(RefusedPickle, match="torch.storage._load_from_bytes"):
        load(nested(zip_of(nested(b"x"))))


@pytest.mark.parametrize(
    "target",
    [
        REBUILD,
        b"ctorch\nFloatStorage\n",
        b"ctorch.storage\n_load_from_bytes\n",
        b"ccollections\nOrderedDict\n",
        plain(torch.zeros(2))[:-1],
    ],
    ids=["function", "storage type", "loader", "class", "tensor"],
)
def test_state_cannot_be_set_on_what_is_rebuilt(load, target):
    # BUILD with a dict of attributes, and with attributes to set one by one.
    for state in (
        b"}X\x08\x00\x00\x00__call__K\x01s",
        b"N}X\x01\x00\x00\x00aK\x01s\x86",
    ):
        with pytest.raises(RefusedPickle, match="BUILD"):
            load(target + state + b"b.")


def test_state_of_an_ordered_dict_is_dropped(load):
    # torch's state dicts have some: the versions of their modules.
    data = b"ccollections\nOrderedDict\n)R}X\x08\x00\x00\x00__iter__K\x01sb."
    assert load(data) == {}


@pytest.mark.parametrize("data", [b"Pname\n.", b"\x80\x02K\x05Q.", b"\x80\x02)Q."])
@pytest.mark.parametrize("wrap", [lambda data: data, zip_of])
def test_persistent_ids_that_name_no_storage_are_refused(load, data, wrap):
    with pytest.raises(RefusedPickle, match="found persistent id .*: refused"):
        load(wrap(data))


def test_storages_cannot_be_named_where_there_are_none(load):
    data = b"(X\x07\x00\x00\x00storagectorch\nFloatStorage\nX\x01\x00\x00\x000"
    data = b"\x80\x02" + data + b"X\x03\x00\x00\x00cpuK\x01tQ."
    with pytest.raises(RefusedPickle, match="torch.FloatStorage|persistent id"):
        load(data)


@pytest.mark.parametrize("data", [REBUILD + b".", b"ctorch\nFloatStorage\n."])
def test_a_name_alone_is_no_tensor(load, data):
    with pytest.raises(RefusedPickle, match="expected only tensors, found a"):
        load(data)


@pytest.mark.parametrize(
    ("offset", "shape", "strides"),
    [
        (0, (7,), (1,)),
        (5, (2,), (1,)),
        (0, (2, 3), (4, 1)),
        (-1, (2,), (1,)),
        (0, (-2,), (1,)),
        (0, (2,), (-1,)),
        (10**30, (1,), (1,)),
        (0, (2, 2), (1,)),
        (0, 3, (1,)),
        (None, (1,), (1,)),
    ],
)
def test_a_tensor_cannot_reach_beyond_its_storage(load, offset, shape, strides):
    # A tensor's pickle calls for the rebuilding function with a storage, then these.
    _, (storage, *_) = torch.arange(6.0).__reduce_ex__(2)
    _, (data,) = storage.__reduce__()
    arguments = [pickle.dumps(x, 2)[2:-1] for x in (offset, shape, strides, False, {})]
    program = b"\x80\x04" + REBUILD + b"(" + nested(data)[2:-1]
    data = program + b"".join(arguments) + b"tR."
    with pytest.raises(ValueError, match="damaged"):
        load(data)


@pytest.mark.parametrize("write", WRITERS)
def test_every_cut_is_noticed(load, write):
    data = write({"a": torch.arange(40.0), "b": [torch.zeros(3)]})
    for end in {*range(0, len(data), 5), *range(len(data) - 5, len(data))}:
        with pytest.raises(ValueError) as caught:
            load(data[:end])
        assert "\n" not in str(caught.value)


@pytest.mark.parametrize("write", WRITERS)
def test_flipped_bytes_raise_nothing_but_value_errors(load, write):
    data = bytearray(write({"a": torch.arange(10.0), "b": [torch.zeros(3)]}))
    rng = np.random.default_rng(0)
    for place in rng.integers(len(data), size=300):
        before, data[place] = data[place], rng.integers(256)
        try:
            load(bytes(data))
        except ValueError as error:
            assert "\n" not in str(error)
        data[place] = before


@pytest.mark.parametrize(
    "data",
    [b"", b"hello", b"<html></html>", b"version https://git-lfs.github.com/spec/v1\n"],
)
def test_other_files_are_refused_in_one_line(load, data):
    with pytest.raises(ValueError, match="expected a whole file of tensors"):
        load(data)


def test_a_container_that_holds_itself_is_refused(load):
    value: list = []
    value.append(value)
    with pytest.raises(ValueError, match="RecursionError"):
        load(plain(value))


def laughing(last):
    """Ten times the same, nine levels deep, by what makes a container of the ten."""
    levels = b"".join(b"q%c(" % i + b"h%c" % i * 10 + last for i in range(9))
    return b"\x80\x02N" + levels + b"."


@pytest.mark.parametrize("wrap", [lambda data: data, zip_of])
@pytest.mark.parametrize(
    "data",
    [laughing(b"t"), laughing(b"l"), laughing(b"t")[:-1] + b"}" + b"h\x09Nsq\x0a."],
    ids=["tuples", "lists", "key"],
)
def test_containers_that_hold_one_another_without_end_are_refused(load, data, wrap):
    with pytest.raises(RefusedPickle, match="many times over: refused"):
        load(wrap(data))


def test_lists_that_grow_once_they_are_held_are_read_once(load):
    # Each level holds the next while that is empty, so no level looks large.
    levels = [b"]q%c" % i for i in range(30)]
    fill = [b"h%c(" % i + b"h%c" % (i + 1) * 10 + b"e0" for i in range(29)]
    value = load(b"\x80\x02" + b"".join([*levels, *fill, b"h\x00."]))
    for _ in range(29):
        assert len(value) == 10 and all(item is value[0] for item in value)
        value = value[0]
    assert value == []


@pytest.mark.parametrize("wrap", [lambda data: data, nested, zip_of])
@pytest.mark.parametrize(
    "data",
    [
        b"\x80\x02Nr" + struct.pack("<I", 0x08000000) + b".",
        b"Np134217728\n.",
        b"Np134217728\n0N.",
    ],
)
def test_a_table_larger_than_the_file_is_refused(load, data, wrap):
    with pytest.raises(RefusedPickle, match="objects, found number 134217728: refused"):
        load(wrap(data))


@pytest.mark.parametrize(
    "data",
    [
        b"\x80\x04B" + struct.pack("<I", 2**31) + b"x.",
        b"\x80\x04\x8e" + struct.pack("<Q", 2**40) + b"x.",
        b"\x80\x04\x96" + struct.pack("<Q", 2**40) + b"x.",
        b"\x80\x02\x8b" + struct.pack("<I", 2**31) + b"x.",
    ],
)
def test_bytes_that_the_file_does_not_have_are_not_waited_for(load, data):
    with pytest.raises(ValueError, match=r"EOFError: \d+ bytes are missing"):
        load(data)


def test_a_compressed_zip_is_refused(load):
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("archive/data.pkl", plain({"a": "b"}))
    with pytest.raises(ValueError, match="data.pkl is compressed"):
        load(buffer.getvalue())


def test_big_endian_numbers_are_refused(load):
    data = old(torch.zeros(2)).replace(
        b"little_endianq\x02\x88", b"little_endianq\x02\x89"
    )
    with pytest.raises(ValueError, match="big-endian"):
        load(data)


def test_a_missing_file_is_named(tmp_path):
    for load_file in (load_tensors, load_state_dict):
        with pytest.raises(FileNotFoundError, match="missing.pt"):
            load_file(tmp_path / "missing.pt")
    with pytest.raises(FileNotFoundError, match="model.safetensors"):
        load_state_dict(tmp_path / "model.safetensors")


@pytest.fixture
def model():
    return torch.nn.Sequential(torch.nn.Linear(3, 2), torch.nn.GRU(2, 4))


def test_both_kinds_of_weights_come_back(tmp_path, model):
    expected = {name: t.detach().numpy() for name, t in model.state_dict().items()}
    torch.save(model.state_dict(), tmp_path / "pytorch_model.bin")
    save_file(expected, tmp_path / "model.safetensors")
    for file in ("pytorch_model.bin", "model.safetensors"):
        weights = load_state_dict(tmp_path / file)
        assert set(weights) == set(expected)
        for name, weight in weights.items():
            np.testing.assert_array_equal(weight, expected[name], strict=True)


def test_weights_of_another_form_are_refused(tmp_path, model):
    file = tmp_path / "pytorch_model.bin"
    torch.save([torch.zeros(2)], file)
    with pytest.raises(ValueError, match="dict of named tensors"):
        load_state_dict(file)
    torch.save({"epoch": 3}, file)
    with pytest.raises(ValueError, match="dict of named tensors"):
        load_state_dict(file)
    torch.save(model, file)
    with pytest.raises(RefusedPickle, match="Sequential"):
        load_state_dict(file)


@pytest.mark.parametrize("name", ["pytorch_model.bin", "model.safetensors"])
def test_a_pointer_in_the_place_of_weights_is_named(tmp_path, name):
    (tmp_path / name).write_text("version https://git-lfs.github.com/spec/v1\n")
    with pytest.raises(ValueError, match=f"{name}: .*, found a git-lfs pointer to it"):
        load_state_dict(tmp_path / name)


def test_a_cut_safetensors_file_is_refused(tmp_path):
    file = tmp_path / "model.safetensors"
    save_file({"a": np.zeros(100)}, file)
    file.write_bytes(file.read_bytes()[:-8])
    with pytest.raises(ValueError, match="expected a whole safetensors file"):
        load_state_dict(file)
