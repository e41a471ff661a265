"""Where boosted trees can be grown: a device that is asked for and absent is an error."""

from __future__ import annotations

import json
from functools import cache

import numpy as np

from proxytools.errors import DeviceError, InputError


def lightgbm_device(device: str) -> str:
    """LightGBM's own name of a device, after checking that it is there.

    Raises
    ------
    DeviceError
        The device was asked for and LightGBM cannot use it.

    Examples
    --------
    >>> lightgbm_device("auto")
    'cpu'
    """
    names = {"cpu": "cpu", "auto": "cpu", "opencl": "gpu", "cuda": "cuda"}
    if device not in names:
        raise InputError("device", got=repr(device), expected=f"one of {', '.join(names)}")
    if names[device] != "cpu":
        problem = _lightgbm_problem(names[device])
        if problem:
            raise DeviceError(
                f"device {device} for lightgbm",
                got=repr(problem),
                expected="a LightGBM build and a driver for it",
                fix="Use --device cpu, or opencl with an OpenCL driver installed",
            )
    return names[device]


@cache
def _lightgbm_problem(device: str) -> str:
    """Return what LightGBM says when it cannot train on a device, or nothing."""
    import lightgbm

    x = np.arange(64, dtype=np.float32)[:, None]
    params = {"device_type": device, "verbosity": -1, "min_data_in_leaf": 2}
    try:
        lightgbm.train(params, lightgbm.Dataset(x, x[:, 0]), 1)
    except lightgbm.basic.LightGBMError as error:
        return str(error).splitlines()[0]
    return ""


def xgboost_device(device: str) -> str:
    """XGBoost's own name of a device, after checking that it is there.

    XGBoost only warns and goes on with the CPU when it finds no GPU; here that is an error,
    found by asking a trained model where it was trained.

    Raises
    ------
    DeviceError
        The device was asked for and XGBoost cannot use it.

    Examples
    --------
    >>> xgboost_device("cpu")
    'cpu'
    """
    if device == "cpu" or (device == "auto" and not _xgboost_has_cuda()):
        return "cpu"
    if device not in ("cuda", "auto"):
        raise DeviceError(
            "device for xgboost",
            got=repr(device),
            expected="cpu, cuda or auto",
            fix="Only lightgbm runs on opencl",
        )
    if not _xgboost_has_cuda():
        raise DeviceError(
            "device cuda for xgboost",
            got="no CUDA device that XGBoost can use",
            expected="an NVIDIA GPU and an XGBoost build with CUDA",
            fix="Use --device cpu",
        )
    return "cuda"


@cache
def _xgboost_has_cuda() -> bool:
    import xgboost

    if not xgboost.build_info()["USE_CUDA"]:
        return False
    x = np.arange(8, dtype=np.float32)[:, None]
    with xgboost.config_context(verbosity=0):
        booster = xgboost.train({"device": "cuda", "verbosity": 0}, xgboost.DMatrix(x, x[:, 0]), 1)
    trained_on = json.loads(booster.save_config())["learner"]["generic_param"]["device"]
    return str(trained_on).startswith("cuda")
