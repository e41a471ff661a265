"""What the tables of a training say, in sentences: one rule, one sentence.

Rules look at the runs that held windows out (inner folds), at the pass that each of them kept, and
take means over them.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import pandas as pd

from deep.model import LEAST_SCALE
from deep.settings import Settings
from deep.tables import Tables

DOMINANT = 0.75  # share of the loss or of the gradient that a task beside the spans should not take
TOLD_APART = 0.05  # least separation
AT_BASE = 0.95  # of the loss where every bar is scored alike: not below it, nothing is learnt
OVERCONFIDENT = 1.05  # times that loss: worse than knowing nothing
OVERFITS = 0.1  # the loss falls by this share on windows learnt from, and rises by it on others
EXPLODES = 100.0  # times the usual norm of the gradient
VANISHES = 0.01  # share of the gradient's norm that reaches the encoder

SPOKEN = {"type": "the type", "ptr": "the pointer task", "countdown": "the countdown"}
Level = Literal["problem", "note", "good"]


@dataclass(frozen=True)
class Verdict:
    """One sentence, the rule it comes from, and whether it asks for something to be done."""

    rule: str
    level: Level
    text: str

    def __str__(self) -> str:
        return f"{self.level}: {self.text}"


def verdicts(tables: Tables, settings: Settings) -> list[Verdict]:
    """Apply every rule; problems first.

    Parameters
    ----------
    tables : dict of DataFrame
        As `deep.tables.read` gives them.
    settings : Settings
        Of the training.
    """
    gone = _diverged(tables, settings)
    if gone:
        return [gone]
    found = [verdict for rule in RULES if (verdict := rule(tables, settings))]
    return sorted(found, key=lambda verdict: ("problem", "note", "good").index(verdict.level))


def last_passes(tables: Tables) -> list[dict[str, Any]]:
    """Return the figures of the last pass of each run, None for what it has not."""
    metrics = tables["epoch_metrics"]
    last = metrics.groupby("run", sort=False).tail(1)
    kept = metrics[metrics["best"]].groupby("run")["epoch"].max()
    stats = tables["probability_stats"]
    shown = stats.sort_values("phase").groupby(["run", "epoch"]).tail(1)  # held out, if any
    last = last.merge(shown[["run", "epoch", "separation"]], on=["run", "epoch"])
    last = last.merge(tables["gradient_stats"][["run", "epoch", "total_grad_norm"]])
    names = ["train_loss", "val_loss", "held_out", "separation", "span_f1", "total_grad_norm"]
    return [
        {
            "run": row["run"],
            "passes": int(row["epoch"]),
            "kept": int(kept.get(row["run"], 0)) or None,
            **{name: float(row[name]) if np.isfinite(row[name]) else None for name in names},
        }
        for row in last.to_dict("records")
    ]


def _diverged(tables: Tables, _: Settings) -> Verdict | None:
    both = tables["epoch_metrics"].merge(tables["gradient_stats"], on=["run", "epoch"])
    bad = both[~np.isfinite(both[["train_loss", "total_grad_norm"]]).all(axis=1)]
    if bad.empty:
        return None
    first = bad.iloc[0]
    text = f"the training diverged: in pass {first['epoch']} of {first['run']} the loss or its"
    return Verdict("diverged", "problem", f"{text} gradient is no number: lower the learning rate")


def _dominated(tables: Tables, settings: Settings) -> Verdict | None:
    runs = tables["task_shares"].groupby("run")
    ends = runs.first(), runs.last()  # of those that have a figure
    for what, words in (("loss_share", "of the loss"), ("gradient_share", "of the gradient")):
        for task, spoken in SPOKEN.items():
            first, last = (float(end[f"{what}_{task}"].mean()) for end in ends)
            if max(first, last) >= DOMINANT:
                raw = task == "countdown" and settings.countdown_target == "raw"
                cure = "normalise it" if raw else "give it a smaller weight"
                shares = f"{first:.0%} {words} in the first pass and {last:.0%} in the last"
                text = f"{spoken} takes {shares}: {cure}".replace("%", " %")
                return Verdict("dominated", "problem", text)
    return None


def _separation(tables: Tables, settings: Settings) -> Verdict | None:
    kept = _kept(tables)
    found, loss, base = (kept[n].mean() for n in ("separation", "loss_span", "base_span_loss"))
    name = "span" if settings.head == "segmental" else "mask"
    if np.isnan(found):
        return None
    if found >= TOLD_APART:
        text = f"spans and other bars are told apart (separation {found:.2f})"
        return Verdict("separation", "good", text)
    if loss >= AT_BASE * base:
        text = f"probabilities are uniform: the {name} loss is at its base rate ({loss:.3f};"
        text += f" {base:.3f} where every bar is scored alike)"
        return Verdict("separation", "problem", text)
    text = f"spans and other bars are hardly told apart (separation {found:.3f})"
    return Verdict("separation", "problem", text)


def _overconfident(tables: Tables, settings: Settings) -> Verdict | None:
    kept = _kept(tables)
    found, loss, base = (kept[n].mean() for n in ("separation", "loss_span", "base_span_loss"))
    if not (found >= TOLD_APART and loss > OVERCONFIDENT * base):
        return None
    text = f"probabilities are overconfident: the held-out loss of the spans ({loss:.3f}) is above"
    text += f" that of scoring every bar alike ({base:.3f})"
    return Verdict("overconfident", "problem", text)


def _unreached(tables: Tables, _: Settings) -> Verdict | None:
    highest = _kept(tables)[["in_span_max", "out_span_max"]].max().max()
    if not highest < 0.5:
        return None
    text = f"no bar reaches a probability of 0.5 (the highest is {highest:.2f}), so bar F1 at that"
    return Verdict("unreached", "note", f"{text} threshold is 0, whatever is learnt")


def _overfits(tables: Tables, _: Settings) -> Verdict | None:
    table = tables["loss_components"]
    pairs = []
    for run, rows in table.groupby("run"):
        spans = rows.pivot_table(index="epoch", columns="phase", values="loss_span")
        best = _best(tables, str(run))
        if "val" in spans and best:
            pairs.append((best, *(spans.iloc[-1] / spans.loc[best] - 1)[["train", "val"]]))
    if not pairs:
        return None
    best, learnt, held = np.median(pairs, axis=0)
    if not (learnt <= -OVERFITS and held >= OVERFITS):
        return None
    text = f"it overfits after pass {best:.0f}, which is kept: from there to the last the loss of"
    text += f" the spans falls by {-learnt:.0%} on windows learnt from and rises by {held:.0%} on"
    return Verdict("overfits", "note", f"{text} others".replace("%", " %"))


def _still_rising(tables: Tables, settings: Settings) -> Verdict | None:
    kept = _kept(tables)
    if not (kept["held_out"].notna() & (kept["epoch"] == settings.epochs)).mean() > 0.5:
        return None
    text = f"the held-out figure still rose in the last of {settings.epochs} passes: allow more"
    return Verdict("still rising", "note", text)


def _chosen_otherwise(_: Tables, settings: Settings) -> Verdict | None:
    alike = not settings.learnt_weights and set(settings.tasks.values()) == {1.0}
    if settings.choose_by != "loss" or alike:
        return None
    text = "the checkpoint is chosen by another loss than the one minimised: by the plain sum, not"
    return Verdict("chosen otherwise", "problem", f"{text} the weighted one")


def _explodes(tables: Tables, _: Settings) -> Verdict | None:
    for run, rows in tables["gradient_stats"].groupby("run", sort=False):
        norm = rows["total_grad_norm"]
        times = float(norm.max() / max(norm.median(), np.finfo(float).tiny))
        if times >= EXPLODES:
            where = f"in pass {rows['epoch'].iloc[norm.argmax()]} of {run}"
            text = f"gradients explode: {where} their norm is {times:.0f} times the usual"
            return Verdict("explodes", "problem", f"{text}: clip them, or lower the learning rate")
    return None


def _vanishes(tables: Tables, _: Settings) -> Verdict | None:
    table = tables["gradient_stats"]
    encoder = table.filter(regex="^encoder")
    share = float((np.sqrt((encoder**2).sum(axis=1)) / table["total_grad_norm"]).median())
    if not share < VANISHES:
        return None
    text = f"hardly any gradient reaches the encoder ({share:.1%} of its norm)".replace("%", " %")
    return Verdict("vanishes", "problem", f"{text}: what is learnt is learnt by the heads")


def _dead(tables: Tables, _: Settings) -> Verdict | None:
    table = tables["feature_stats"]
    spread = table[table["phase"] == "train"].groupby("feature_name", sort=False)["std"].max()
    dead = [str(name) for name in spread.index[spread <= LEAST_SCALE]]
    if not dead:
        return None
    shown = ", ".join(dead[:5]) + (" and more" if len(dead) > 5 else "")
    text = f"{len(dead)} of {len(spread)} features are constant and say nothing: {shown}"
    return Verdict("dead features", "problem", text)


RULES: tuple[Callable[[Tables, Settings], Verdict | None], ...] = (
    _dominated,
    _chosen_otherwise,
    _separation,
    _overconfident,
    _explodes,
    _vanishes,
    _dead,
    _unreached,
    _overfits,
    _still_rising,
)


def _kept(tables: Tables) -> pd.DataFrame:
    """Figures of the passes that were kept, a row a run; of all runs where none held windows out.

    Then they are those of windows learnt from.
    """
    losses, stats = tables["loss_components"], tables["probability_stats"]
    phase = "val" if (losses["phase"] == "val").any() else "train"
    metrics = tables["epoch_metrics"]
    found = metrics[metrics["best"]].groupby("run").tail(1)
    for table in (losses, stats):
        found = found.merge(table[table["phase"] == phase], on=["run", "epoch"])
    return found


def _best(tables: Tables, run: str) -> int:
    """Return the pass that a run kept, 0 for none."""
    metrics = tables["epoch_metrics"]
    return max(metrics["epoch"][metrics["best"] & (metrics["run"] == run)], default=0)
