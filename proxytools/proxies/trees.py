"""Trees from a stranger, checked before anything walks them.

LightGBM, XGBoost and scikit-learn follow child and column numbers without looking: a tampered file
crashes the interpreter, or reads memory that is none of its business. Here every child must come
after its parent inside its tree and every split must read a column that exists. What is passed on
to LightGBM and XGBoost is written anew from the parts that were checked.

Every check raises one of `UNREADABLE`; the caller says in which file.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.ensemble._hist_gradient_boosting.predictor import TreePredictor
from sklearn.tree._tree import Tree

Ints = NDArray[np.int64]

UNREADABLE = (
    ValueError,
    TypeError,
    LookupError,
    AttributeError,
    ArithmeticError,
    RecursionError,
)
LARGEST_LEAF = 1e6  # log-odds: no fit comes near, and sums of such leaves stay numbers

_HEADER = {"version": "v4", "num_class": "1", "num_tree_per_iteration": "1", "label_index": "0"}
_OF_SPLITS = {
    "split_feature": np.int64,
    "split_gain": np.float64,
    "threshold": np.float64,
    "decision_type": np.int64,
    "left_child": np.int64,
    "right_child": np.int64,
    "internal_value": np.float64,
    "internal_weight": np.float64,
    "internal_count": np.int64,
}
_OF_LEAVES = {"leaf_value": np.float64, "leaf_weight": np.float64, "leaf_count": np.int64}
_CATEGORICAL = 1  # bit of a LightGBM decision type
_XGBOOST_ROOT = 2**31 - 1
_XGBOOST_FIELDS = {
    "base_weights": np.float64,
    "default_left": np.int64,
    "loss_changes": np.float64,
    "split_conditions": np.float64,
    "split_indices": np.int64,
    "split_type": np.int64,
    "sum_hessian": np.float64,
}


def checked_lightgbm(text: str, n_columns: int) -> str:
    """LightGBM text of single-output trees with numerical splits, written anew."""
    header, *blocks = text.partition("\nend of trees")[0].split("\nTree=")
    if not blocks:
        raise ValueError("no tree")
    settings = _settings(header)
    expected = {**_HEADER, "max_feature_idx": str(n_columns - 1)}
    for name, value in expected.items():
        _equal(name, settings[name], value)
    if settings["objective"] not in ("cross_entropy", "binary sigmoid:1"):
        raise ValueError(f"objective {settings['objective']!r}")
    lines = ["tree", *(f"{name}={value}" for name, value in expected.items())]
    lines.append(f"objective={settings['objective']}")
    for name in ("feature_names", "feature_infos"):
        _equal(f"number of {name}", len(settings[name].split()), n_columns)
        lines.append(f"{name}={settings[name]}")
    for number, block in enumerate(blocks):
        lines += ["", f"Tree={number}", *_lightgbm_tree(_settings(block), n_columns)]
    return "\n".join([*lines, "", "end of trees", ""])


def _lightgbm_tree(settings: dict[str, str], n_columns: int) -> list[str]:
    for name in ("num_cat", "is_linear"):
        _equal(name, settings[name], "0")
    n_leaves = int(settings["num_leaves"])
    n_splits = n_leaves - 1
    splits = {
        name: _numbers(name, settings[name].split(), kind, n_splits)
        for name, kind in _OF_SPLITS.items()
    }
    leaves = {
        name: _numbers(name, settings[name].split(), kind, n_leaves)
        for name, kind in _OF_LEAVES.items()
        if n_splits or name == "leaf_value"  # a lone leaf has no weight
    }
    if (splits["decision_type"] & _CATEGORICAL).any():
        raise ValueError("a split by category")
    _check_leaves(leaves["leaf_value"])
    left, right = (
        np.where(child >= 0, child, np.where(child >= -n_leaves, n_splits + ~child, -1))
        for child in (splits["left_child"], splits["right_child"])
    )
    _check_nodes(
        left, right, splits["split_feature"], np.arange(n_splits), 2 * n_leaves - 1, n_columns
    )
    rows = [f"num_leaves={n_leaves}", "num_cat=0"]
    rows += [f"{k}={' '.join(map(repr, v.tolist()))}" for k, v in {**splits, **leaves}.items()]
    shrinkage = float(settings["shrinkage"])
    return [*rows, "is_linear=0", f"shrinkage={shrinkage!r}", ""]


def _settings(block: str) -> dict[str, str]:
    pairs = (line.partition("=") for line in block.splitlines())
    return {name: value for name, _, value in pairs}


def checked_xgboost(weights: bytes, n_columns: int) -> bytes:
    """XGBoost JSON of one binary model of numerical trees, written anew."""
    document = json.loads(weights, parse_constant=_no_constant)
    learner = document["learner"]
    learner["attributes"] = {}
    booster, objective = learner["gradient_booster"], learner["objective"]
    for name in ("feature_names", "feature_types"):
        _equal(name, learner[name], [])
    _equal("booster", booster["name"], "gbtree")
    _equal("objective", objective["name"], "binary:logistic")
    about = learner["learner_model_param"]
    for name, value in (("num_class", "0"), ("num_feature", str(n_columns)), ("num_target", "1")):
        _equal(name, about[name], value)
    base_score = np.array(json.loads(about["base_score"]), np.float64)
    if base_score.size != 1 or not 0 < base_score.item() < 1:
        raise ValueError(f"base_score {about['base_score'][:60]}")
    model = booster["model"]
    trees = model["trees"]
    n_trees = len(trees)
    _equal("gbtree_model_param", model["gbtree_model_param"]["num_trees"], str(n_trees))
    _equal("num_parallel_tree", model["gbtree_model_param"]["num_parallel_tree"], "1")
    _equal("tree_info", model["tree_info"], [0] * n_trees)
    _equal("iteration_indptr", model["iteration_indptr"], list(range(n_trees + 1)))
    _equal("categories", model.get("cats", {}).get("enc", []), [])
    for number, tree in enumerate(trees):
        _equal("id", tree["id"], number)
        _check_xgboost_tree(tree, n_columns)
    return json.dumps(document, allow_nan=False).encode()


def _check_xgboost_tree(tree: dict[str, Any], n_columns: int) -> None:
    n = len(tree["left_children"])
    about = {"num_deleted": "0", "num_feature": str(n_columns), "num_nodes": str(n)}
    _equal("tree_param", tree["tree_param"], {**about, "size_leaf_vector": "1"})
    for name in ("categories", "categories_nodes", "categories_segments", "categories_sizes"):
        _equal(name, tree[name], [])
    fields = {k: _numbers(k, tree[k], kind, n) for k, kind in _XGBOOST_FIELDS.items()}
    _equal("split_type", fields["split_type"].tolist(), [0] * n)
    left, right = (
        _numbers(name, tree[name], np.int64, n) for name in ("left_children", "right_children")
    )
    inner = np.flatnonzero((left != -1) | (right != -1))
    _check_leaves(np.delete(fields["split_conditions"], inner))
    column = fields["split_indices"][inner]
    _check_nodes(left[inner], right[inner], column, inner, n, n_columns)
    parents = np.full(n, _XGBOOST_ROOT)
    parents[left[inner]] = parents[right[inner]] = inner
    _equal("parents", tree["parents"], parents.tolist())


def _no_constant(name: str) -> float:
    raise ValueError(f"the number {name}")


def check_sklearn(model: Any, n_columns: int) -> None:
    """Check every tree inside a scikit-learn model."""
    for tree in _trees(model):
        if isinstance(tree, Tree):
            _equal("n_features", tree.n_features, n_columns)
            _equal("n_outputs", tree.n_outputs, 1)
            left, right, column = tree.children_left, tree.children_right, tree.feature
            inner = np.flatnonzero((left != -1) | (right != -1))
        else:
            nodes = tree.nodes
            _equal("splits by category", nodes["is_categorical"].any(), np.False_)
            left, right, column = (
                nodes[name].astype(np.int64) for name in ("left", "right", "feature_idx")
            )
            inner = np.flatnonzero(nodes["is_leaf"] == 0)
        _check_nodes(left[inner], right[inner], column[inner], inner, len(left), n_columns)


def _trees(value: Any) -> Iterator[Any]:
    """Find every tree in the attributes of scikit-learn's objects."""
    if isinstance(value, Tree | TreePredictor):
        yield value
        return
    if isinstance(value, np.ndarray):
        inside = value.ravel().tolist() if value.dtype == object else []
    elif isinstance(value, dict):
        inside = list(value.values())
    elif isinstance(value, list | tuple | set):
        inside = list(value)
    else:
        inside = list(getattr(value, "__dict__", {}).values())
    for item in inside:
        yield from _trees(item)


def _check_nodes(
    left: Ints, right: Ints, column: Ints, parent: Ints, n_nodes: int, n_columns: int
) -> None:
    """Check the split nodes of a tree: children after their parent, columns that exist."""
    for child in (left, right):
        if n_nodes < 1 or (child <= parent).any() or (child >= n_nodes).any():
            raise ValueError("a child outside its tree")
    if (column < 0).any() or (column >= n_columns).any():
        raise ValueError(f"a split that reads none of the {n_columns} columns")


def _check_leaves(value: NDArray[np.float64]) -> None:
    if not len(value) or np.abs(value).max() > LARGEST_LEAF:
        raise ValueError(f"leaves beyond {LARGEST_LEAF:g}, or none")


def _numbers(name: str, values: list[Any], kind: type, size: int) -> NDArray[Any]:
    """(size,) finite numbers of a kind."""
    _equal(f"number of {name}", len(values), size)
    if kind is np.int64 and any(type(value) not in (int, str) for value in values):
        raise ValueError(f"{name} that are no whole numbers")
    numbers = [int(v) if kind is np.int64 else float(v) for v in values]
    if any(not math.isfinite(v) or (kind is np.int64 and abs(v) >= 2**31) for v in numbers):
        raise ValueError(f"{name} out of range")
    return np.array(numbers, kind)


def _equal(what: str, got: Any, expected: Any) -> None:
    if type(got) is not type(expected) or got != expected:
        raise ValueError(f"{what}: {str(got)[:60]} instead of {str(expected)[:60]}")
