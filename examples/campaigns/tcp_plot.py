"""Goodput over loss, with 95 % confidence intervals: ``tcp_plot.py ROWS PICTURE``."""

from __future__ import annotations

import sys

import matplotlib.pyplot as plt

from nepiq.controller.campaign.row import read_rows
from nepiq.controller.campaign.summary import summaries

points = summaries(read_rows(sys.argv[1]))
rtts, controls, losses = (
    sorted({point.parameters[name] for point in points}) for name in ("rtt", "congestion", "loss")
)
figure, panels = plt.subplots(
    1, len(rtts), sharey=True, squeeze=False, figsize=(8, 3.6), layout="constrained"
)
for panel, rtt in zip(panels[0], rtts, strict=True):
    for number, control in enumerate(controls):
        level = {"rtt": rtt, "congestion": control}
        shown = [
            point
            for point in points
            # Fewer than two runs have no interval.
            if level.items() <= point.parameters.items() and point.margin("goodput") is not None
        ]
        panel.errorbar(
            # Side by side, so that intervals do not hide each other.
            [losses.index(point.parameters["loss"]) + 0.1 * number for point in shown],
            [point.mean("goodput") / 1e6 for point in shown],
            [point.margin("goodput") / 1e6 for point in shown],
            fmt="osD^v"[number % 5],
            markersize=4,
            capsize=3,
            label=control,
        )
    panel.set_xticks(range(len(losses)), [f"{loss:g}" for loss in losses])
    panel.set(title=f"round trip of {rtt:g} ms", xlabel="loss in each direction (%)")
panels[0][0].set(ylabel="goodput (Mbit/s)", ylim=(0, None))
panels[0][0].legend()
figure.savefig(sys.argv[2])
