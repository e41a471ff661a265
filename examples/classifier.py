"""Any scikit-learn classifier is a proxy: put one on the leaderboard.

python examples/classifier.py
"""

from sklearn.ensemble import ExtraTreesClassifier

from proxytools import synthetic
from proxytools.leaderboard import correlate
from proxytools.proxies import make
from proxytools.proxies.bars import BarProxy


def main():
    """Print a leaderboard, best first."""
    data = synthetic.planted(60, preset="medium", seed=1).data
    trees = ExtraTreesClassifier(50, min_samples_leaf=20, random_state=0)
    proxies = [BarProxy(trees, "extra-trees", "directionless"), make("formula")]
    for row in correlate(proxies, data, permutations=19):
        passed = "passes the gate" if row.passes() else ""
        print(
            f"{row.model:15} {row.pearson_r:6.3f} ({row.ci_low:.3f} to {row.ci_high:.3f}) {passed}"
        )


if __name__ == "__main__":
    main()
