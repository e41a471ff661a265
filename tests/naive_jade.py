"""Slow, obvious twin of the predecessor's twelve features: one window, one bar at a time."""

EPS = 1e-6


def clip(x, low, high):
    return min(max(x, low), high)


def mean(x):
    return sum(x) / len(x)


def features(window):
    """A dict of lists, one number per bar."""
    walk = ZigZag()
    rows, average = [], None
    for o, h, l, c in window:  # noqa: E741
        o, h, l, c = float(o), float(h), float(l), float(c)  # noqa: E741
        extent = max(h - l, EPS)
        row = {
            "open_norm": clip((o - l) / extent, 0, 1),
            "close_norm": clip((c - l) / extent, 0, 1),
            "body_pct": (c - o) / extent,
            "upper_wick_pct": (h - max(o, c)) / extent,
            "lower_wick_pct": (min(o, c) - l) / extent,
        }
        average = h - l if average is None else average * 19 / 21 + (h - l) * 2 / 21
        row["range_z"] = clip((h - l) / max(average, EPS), 0, 3)
        walk.see(h, l, c)
        high, low = walk.swings["high"], walk.swings["low"]
        ages = {}
        for name, bar in (("sh", high), ("sl", low)):
            ages[name] = 0.0 if bar is None else clip((walk.bar - bar[1]) / 105, 0, 3)
        row["dist_to_prev_sh"] = 0.0 if high is None else clip((high[0] - c) / walk.atr(), -3, 3)
        row["dist_to_prev_sl"] = 0.0 if low is None else clip((c - low[0]) / walk.atr(), -3, 3)
        row["bars_since_sh_norm"] = ages["sh"]
        row["bars_since_sl_norm"] = ages["sl"]
        direction = {None: 0, "up": 1, "down": -1}[walk.leg]
        row["expansion_proxy"] = clip(row["range_z"] * direction * row["body_pct"], -2, 2)
        calm = (1 - row["range_z"] / 3) * (1 - abs(row["body_pct"]))
        row["consol_proxy"] = clip(calm * (ages["sh"] + ages["sl"]) / 2, 0, 3)
        rows.append(row)
    return {name: [row[name] for row in rows] for name in rows[0]}


class ZigZag:
    """One leg after the other; a swing is (price, bar of that price)."""

    def __init__(self):
        self.bar = -1
        self.close = None
        self.true_ranges = []
        self.leg = self.extreme = self.extreme_bar = None
        self.swings = {"high": None, "low": None}

    def atr(self):
        return max(mean(self.true_ranges[-10:]), EPS)

    def see(self, high, low, close):
        self.bar += 1
        before, self.close = self.close, close
        if before is None:
            return
        self.true_ranges.append(max(high - low, abs(high - before), abs(low - before)))
        if self.leg is None:
            self.leg, self.extreme, self.extreme_bar = "up", close, self.bar
        elif self.leg == "up":
            self.go_up(high, low, close)
        else:
            self.go_down(high, low, close)

    def go_up(self, high, low, close):
        if high > self.extreme:
            self.extreme, self.extreme_bar = high, self.bar
        fallen = self.extreme - close >= 1.2 * self.atr()
        fresh = self.bar - self.extreme_bar <= 5
        if fallen or (fresh and self.extreme - low >= 0.5 * self.atr()):
            self.swings["high"] = (self.extreme, self.extreme_bar)
            self.leg, self.extreme, self.extreme_bar = "down", low, self.bar

    def go_down(self, high, low, close):
        if low < self.extreme:
            self.extreme, self.extreme_bar = low, self.bar
        risen = close - self.extreme >= 1.2 * self.atr()
        fresh = self.bar - self.extreme_bar <= 5
        if risen or (fresh and high - self.extreme >= 0.5 * self.atr()):
            self.swings["low"] = (self.extreme, self.extreme_bar)
            self.leg, self.extreme, self.extreme_bar = "up", high, self.bar
