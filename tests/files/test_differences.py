"""Where nested mappings differ."""

from hm3_jax.files.differences import differences


def test_names_and_both_values():
    before = {"z": 1, "same": [1], "inner": {"x": 1, "y": {"k": 2}}, "gone": 3}
    now = {"z": 2, "same": [1], "inner": {"x": 1, "y": {"k": 4}}, "new": {"a": 1}}
    assert list(differences(before, now)) == [
        ("gone", 3, None),
        ("inner.y.k", 2, 4),
        ("new", None, {"a": 1}),
        ("z", 1, 2),
    ]
    given = [("inner.y.k", 2, 4), ("new", None, {"a": 1}), ("z", 1, 2)]
    assert list(differences(before, now, given=True)) == given
    assert list(differences(before, before)) == []
    assert list(differences({"a": {"b": 1}}, {"a": 2})) == [("a", {"b": 1}, 2)]
