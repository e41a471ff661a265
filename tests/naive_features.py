"""Slow, obvious twins of the feature kernels: one window, one bar, one formula at a time."""

import numpy as np
import pandas as pd

from tests.naive_jade import features as jade


def classic(window):
    """The predecessor's way: pandas on one window."""
    o, h, l, c = (pd.Series(column) for column in np.asarray(window, float).T)  # noqa: E741
    momentum = (c - c.shift(3)) / (h.rolling(4).max() - l.rolling(4).min() + 1e-9)
    frame = {
        "momentum_3": momentum,
        "direction_streak": (c > o).astype(float).rolling(10).sum(),
        "cum_return_5": c.pct_change().rolling(5).sum(),
        "volatility": (h - l).rolling(20).std(),
        "accel": momentum.diff(),
    }
    return pd.DataFrame(frame).fillna(0.0)


def ratio(a, b):
    return a / b if b > 0 else 0.0


def features(window):
    """All others: a dict of (T,) arrays."""
    window = np.asarray(window, float)
    out = {}
    for part in (candle, multiscale, states, directionless, placements, centred, drift, jade):
        for name, values in part(window).items():
            out[name] = np.array(values)
    return out


def candle(window):
    rows = []
    for o, h, l, c in window:  # noqa: E741
        r = h - l
        rows.append(
            {
                "body": ratio(c - o, r),
                "body_size": ratio(abs(c - o), r),
                "upper_wick": ratio(h - max(o, c), r),
                "lower_wick": ratio(min(o, c) - l, r),
                "close_place": ratio(c - l, r),
            }
        )
    return pd.DataFrame(rows).to_dict("list")


def prices_before(window):
    return np.concatenate([[window[0, 0]], window[:, 3]])


def past(x, t, k):
    return x[max(t - k + 1, 0) : t + 1]


def multiscale(window):
    _, h, l, c = window.T  # noqa: E741
    before, extent, n = prices_before(window), h - l, len(window)
    step = np.abs(np.diff(before))
    rows = []
    for t in range(n):
        row = {}
        unit = past(extent, t, 20).mean()
        for k in (3, 5, 10, 20):
            reach = min(k, t + 1)
            move = before[t + 1] - before[t + 1 - reach]
            row[f"move_{k}"] = ratio(move, unit * np.sqrt(reach))
            row[f"abs_move_{k}"] = abs(row[f"move_{k}"])
            row[f"efficiency_{k}"] = ratio(abs(move), past(step, t, k).sum())
        for k in (10, 40):
            top, bottom = past(h, t, k).max(), past(l, t, k).min()
            row[f"place_{k}"] = ratio(2 * c[t] - top - bottom, top - bottom)
        for k in (5, 10):
            row[f"range_expansion_{k}"] = ratio(
                past(extent, t, k).mean(), past(extent, t, 40).mean()
            )
        rows.append(row)
    return pd.DataFrame(rows).to_dict("list")


def states(window):
    o, h, l, c = window.T  # noqa: E741
    before, n = prices_before(window), len(window)
    out = {
        name: []
        for name in (
            "streak",
            "streak_length",
            "range_ratio",
            "drift_evidence_05",
            "drift_evidence_10",
        )
    }
    ema, cusum = h[0] - l[0], {0.5: [0.0, 0.0], 1.0: [0.0, 0.0]}
    for t in range(n):
        ema += 2 / 21 * (h[t] - l[t] - ema)
        out["range_ratio"].append(min(ratio(h[t] - l[t], ema), 10))
        run = 0
        while t - run >= 0 and np.sign(c[t - run] - o[t - run]) == np.sign(c[t] - o[t]) != 0:
            run += 1
        out["streak"].append(run * np.sign(c[t] - o[t]))
        out["streak_length"].append(run)
        z = np.clip(ratio(before[t + 1] - before[t], ema / 1.6), -4, 4)
        for drift, (up, down) in cusum.items():
            up = np.clip(up + drift * (z - drift / 2), 0, 20)
            down = np.clip(down + drift * (-z - drift / 2), 0, 20)
            cusum[drift] = [up, down]
            out[f"drift_evidence_{drift:.1f}".replace(".", "")].append(max(up, down))
    return out | swing(window)


def swing(window):
    """The zigzag in the words of its definition, up and down legs apart."""
    _, h, l, c = window.T  # noqa: E741
    before = prices_before(window)
    true_range = np.maximum(h, before[:-1]) - np.minimum(l, before[:-1])
    leg, extreme, at, last_high, last_low = "none", None, None, None, None
    legs, above, below = [], [], []
    for t in range(len(window)):
        atr = past(true_range, t, 10).mean()
        if t == 1:
            leg, extreme, at = "up", c[t], t
        elif t > 1 and leg == "up":
            if h[t] > extreme:
                extreme, at = h[t], t
            fresh = t - at <= 5 and extreme - l[t] >= 0.5 * atr
            if atr > 0 and (extreme - c[t] >= 1.2 * atr or fresh):
                last_high, leg, extreme, at = extreme, "down", l[t], t
        elif t > 1 and leg == "down":
            if l[t] < extreme:
                extreme, at = l[t], t
            fresh = t - at <= 5 and h[t] - extreme >= 0.5 * atr
            if atr > 0 and (c[t] - extreme >= 1.2 * atr or fresh):
                last_low, leg, extreme, at = extreme, "up", h[t], t
        legs.append({"none": 0, "up": 1, "down": -1}[leg])
        above.append(0.0 if last_high is None else np.clip(ratio(last_high - c[t], atr), -3, 3))
        below.append(0.0 if last_low is None else np.clip(ratio(c[t] - last_low, atr), -3, 3))
    return {"swing_leg": legs, "below_swing_high": above, "above_swing_low": below}


def runs_around(n, t, k):
    """Starts of the runs of ``k`` bars inside the window that include bar ``t``."""
    return [s for s in range(n - k + 1) if s <= t < s + k]


def directionless(window):
    o, h, l, c = window.T  # noqa: E741
    before, n = prices_before(window), len(window)
    whole, sign = h.max() - l.min(), np.sign(c - o)
    k = min(7, n)
    move, length = [], []
    for t in range(n):
        starts = runs_around(n, t, k)
        move.append(ratio(np.mean([abs(before[s + k] - before[s]) for s in starts]), whole))
        first = stop = t
        while first > 0 and sign[first - 1] == sign[t]:
            first -= 1
        while stop < n and sign[stop] == sign[t]:
            stop += 1
        length.append(stop - first if sign[t] else 0)
    return {
        "around_move_7": move,
        "run_length": length,
        "mean_range": np.full(n, ratio((h - l).mean(), whole)),
    }


def levels(window):
    """Range around each bar, and the log of each bar's range over it."""
    extent = window[:, 1] - window[:, 2]
    t = np.arange(len(window))
    weight = 0.9 ** np.abs(t[:, None] - t)
    level = weight @ extent / weight.sum(axis=1)
    growth = np.array([e / a if a > 0 else 1.0 for e, a in zip(extent, level, strict=True)])
    return level, np.log(np.clip(growth, 0.2, 20.0))


def placements(window):
    before, n = prices_before(window), len(window)
    level, log_range = levels(window)
    z = np.array([ratio(before[t + 1] - before[t], level[t] / 1.41) for t in range(n)])
    z = np.clip(z, -6, 6)
    out, shares = {}, []
    for drift, growth in ((0.5, 0.15), (1.0, 0.2)):
        wide = growth * (log_range + 0.03 - growth / 2) / 0.09
        cover = {}
        for direction in (1, -1):
            bar = wide + (direction * drift * z - drift**2 / 2) / np.exp(2 * growth)
            bar = np.clip(bar, -3.8, 3.8)
            cover[direction] = np.zeros(n)
            total = 0.0
            for length in range(min(3, n), min(21, n) + 1):
                for s in range(n - length + 1):
                    weight = np.exp(bar[s : s + length].sum())
                    cover[direction][s : s + length] += weight
                    total += weight
            cover[direction, "total"] = total
        total = cover[1, "total"] + cover[-1, "total"]
        name = f"{drift:.1f}".replace(".", "")
        shares.append((cover[1] + cover[-1]) / total)
        out[f"span_share_{name}"] = shares[-1]
        out[f"span_side_{name}"] = abs(cover[1] - cover[-1]) / total
    share = np.mean(shares, axis=0)
    return out | {"span_share": share, "span_rank": share / share.max()}


def centred(window):
    before, n = prices_before(window), len(window)
    extent, step = window[:, 1] - window[:, 2], np.abs(np.diff(before))
    level, log_range = levels(window)
    rows = []
    for t in range(n):
        row = {
            "step_size": ratio(step[t], level[t]),
            "range_trend": ratio(level[t], extent.mean()),
        }
        for half in (1, 2, 4):
            row[f"range_around_{half}"] = log_range[max(t - half, 0) : t + half + 1].mean()
        for k in (3, 5, 8):
            k_, moves, ranges = min(k, n), [], []
            for s in runs_around(n, t, k_):
                unit = level[s + k_ // 2] * np.sqrt(k_)
                moves.append(ratio(abs(before[s + k_] - before[s]), unit))
                ranges.append(log_range[s : s + k_].mean())
            row[f"run_move_{k}"], row[f"run_range_{k}"] = max(moves), max(ranges)
        for k in (5, 10):
            back, on = min(k, t + 1), min(k, n - t)
            left = ratio(before[t + 1] - before[t + 1 - back], level[t] * np.sqrt(back))
            right = ratio(before[t + on] - before[t], level[t] * np.sqrt(on))
            row[f"past_move_{k}"], row[f"next_move_{k}"] = abs(left), abs(right)
            row[f"agreement_{k}"] = abs(left) * np.sign(left * right)
        for h in (5, 10):
            first, stop = max(t - h + 1, 0), min(t + h, n)
            row[f"efficiency_around_{h}"] = ratio(
                abs(before[stop] - before[first]), step[first:stop].sum()
            )
        rows.append(row)
    return pd.DataFrame(rows).to_dict("list")


def drift(window):
    """Signed moves in units of the variance around, every sum written out."""
    n, (_, h, l, c) = len(window), window.T  # noqa: E741
    prev = prices_before(window)[:-1]
    h, l = np.maximum(h, prev), np.minimum(l, prev)  # noqa: E741
    move, lean, extent = c - prev, (h - prev) - (prev - l), (h - l) ** 2
    variance = 0.5 * extent - 0.386 * move**2
    typical = max(np.median(extent), 0.01 * extent.mean()) / 3
    names = ["drift", "lean", "drift_energy", "bar_variance", "log_variance"]
    names += ["log_variance_3", "log_variance_1", "sigma_trend"]
    sides = [(1, 1), (3, 3), (4, 0), (0, 4), (9, 0), (0, 9)]
    names += [f"{what}_{a}_{b}" for what in ("drift", "abs_drift") for a, b in sides]
    short = ["short_drift", "short_lean", "signed_energy", "short_energy", "range_energy"]
    short += ["both_ways", "short_log_variance", "short_abs_drift", "short_abs_lean"]
    if typical == 0:
        return {name: np.zeros(n) for name in names + short}
    log = np.log(variance / typical + 0.05)

    def around(tau):  # of the `log` there is when it is called
        weights = np.exp(-np.abs(np.subtract.outer(np.arange(n), np.arange(n))) / tau)
        return weights @ log / weights.sum(1)

    level = around(15)
    sigma = np.sqrt(typical * np.exp(level)) * 1.1
    scaled = move / sigma
    rows = [scaled, lean / sigma, scaled**2, variance / sigma**2, log - level]
    rows += [around(3) - level, around(1) - level, (level - level.mean()) / 2]
    moved = [
        [sum(part := scaled[max(t - a, 0) : t + b + 1]) / np.sqrt(len(part)) for t in range(n)]
        for a, b in sides
    ]
    rows += [*moved, *np.abs(moved)]
    out = {name: np.clip(row, -8, 8) for name, row in zip(names, rows, strict=True)}
    log = np.log(variance / typical + 0.1)
    level = around(10)
    sigma = np.sqrt(typical * np.exp(level))
    up, down = (h - prev) / sigma, (prev - l) / sigma
    x, y = move / sigma, up - down
    rows = [x, y, x * abs(x), x**2, (up + down) ** 2 / 3, up * down, log - level, abs(x), abs(y)]
    return out | {name: np.clip(row, -25, 25) for name, row in zip(short, rows, strict=True)}
