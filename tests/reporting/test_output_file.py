"""Reading embeddings apart from the rest gives what reading the whole file gives."""

import json
import tracemalloc

import numpy as np
import orjson
import pytest

from hm3_jax.reporting.output_file import EMBEDDINGS, load_output


def tries(count: int = 2, museums: int = 5, size: int = 4) -> list[dict]:
    random = np.random.default_rng(0)
    return [
        {
            "n_try": number,
            # Names that look like the beginning of embeddings, and like brackets.
            "ids_list": [f'"output_pov_test":[[{i}]]' for i in range(museums)],
            "output_categories": ["output_pov_test", "]]", "[[", "],[", "x"][:museums],
            **{
                key: random.standard_normal((museums, size), np.float32)
                for key in EMBEDDINGS
            },
            "metrics": {"t2s_mAP": 1.5},
        }
        for number in range(1, count + 1)
    ]


def written(path, content) -> None:
    path.write_bytes(orjson.dumps(content, option=orjson.OPT_SERIALIZE_NUMPY))


@pytest.mark.parametrize("museums", [1, 5])
@pytest.mark.parametrize("count", [0, 1, 3])
def test_what_training_writes(tmp_path, count, museums):
    path = tmp_path / "test_output.json"
    content = tries(count, museums)
    written(path, content)
    found = load_output(path)
    assert len(found) == count
    for entry, expected in zip(found, content, strict=True):
        assert list(entry) == list(expected)
        for key in EMBEDDINGS:
            # Not lists: these are what was cut out.
            assert isinstance(entry[key], np.ndarray)
            assert entry[key].dtype == np.float32
            np.testing.assert_array_equal(entry.pop(key), expected.pop(key))
        assert entry == expected


@pytest.mark.parametrize(
    "change",
    [
        lambda text: text.replace(",", ", "),
        lambda text: text.replace(":[[", ": [["),
        lambda text: json.dumps(json.loads(text), indent=1),
        lambda text: text.replace(
            '"output_pov_test":[[', '"output_pov_test":[["x",', 1
        ),
        lambda text: text.replace("]]", ",1.0]]", 1),
        lambda text: text.replace("[[", "[[[", 1).replace("]]", "]]]", 1),
        lambda text: text.replace('"n_try":1', '"output_pov_test":0'),
        lambda text: text.replace('"n_try":1', '"output_pov_test":true'),
        lambda text: text.replace('"n_try":1', '"output_pov_test":[[1.0]]'),
        lambda text: text.replace('"n_try":1', '"x":{"output_pov_test":[[1.0]]}'),
        lambda text: f'{{"output_pov_test":[[1.0]],"a":{text}}}',
    ],
)
def test_another_form_is_read_whole(tmp_path, change):
    path = tmp_path / "test_output.json"
    written(path, tries())
    text = change(path.read_text())
    path.write_text(text)
    expected = orjson.loads(text)
    if not isinstance(expected, list):
        with pytest.raises(ValueError, match="expected a list of tries"):
            load_output(path)
        return
    found = load_output(path)
    for entry, other in zip(found, expected, strict=True):
        for key, value in other.items():
            if isinstance(entry[key], np.ndarray):
                value = np.array(value, np.float32)
                np.testing.assert_array_equal(entry[key], value)
            else:
                assert entry[key] == value


@pytest.mark.parametrize("end", [0.3, 0.6, 0.9, 0.999])
def test_a_part_is_refused(tmp_path, end):
    path = tmp_path / "test_output.json"
    written(path, tries())
    content = path.read_bytes()
    path.write_bytes(content[: int(end * len(content))])
    with pytest.raises(ValueError, match="test_output.json: expected JSON, found"):
        load_output(path)


def test_embeddings_are_never_python_s_numbers_all_at_once(tmp_path):
    """As objects they would take 32 bytes each, beside 8 of the list."""
    path = tmp_path / "test_output.json"
    written(path, tries(1, museums=2000, size=100))
    tracemalloc.start()
    load_output(path)
    most = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert most < 3 * path.stat().st_size
