"""Goodput over loss with 95 % confidence intervals, a panel a path: ``tcp_plot.py ROWS PICTURE``.

ROWS is the file of ``nepiq campaign results tcp >tcp.jsonl``.
"""

from __future__ import annotations

import sys
from statistics import fmean

import matplotlib.pyplot as plt  # pip install 'nepiq[examples]'

from nepiq.controller.campaign.row import read_rows
from nepiq.controller.campaign.statistics import interval

rows = [row for row in read_rows(sys.argv[1]) if row.outcome == "finished"]
paths = sorted({(row.parameters["rate"], row.parameters["rtt"]) for row in rows})
losses = sorted({row.parameters["loss"] for row in rows})
protocols = sorted({row.parameters["congestion"] for row in rows})

figure, panels = plt.subplots(
    1, len(paths), sharey=True, squeeze=False, figsize=(4 * len(paths), 3.6), layout="constrained"
)
for panel, (rate, rtt) in zip(panels[0], paths, strict=True):
    for number, protocol in enumerate(protocols):
        point = {"congestion": protocol, "rate": rate, "rtt": rtt}
        samples = [
            [
                row.metrics["goodput"] / 1e6
                for row in rows
                if row.parameters == {**point, "loss": loss}
            ]
            for loss in losses
        ]
        known = [(at, each) for at, each in enumerate(samples) if len(each) > 1]
        bounds = [interval(each) for _, each in known]
        panel.errorbar(
            # Side by side, so that intervals do not hide each other.
            [at + 0.12 * (number - (len(protocols) - 1) / 2) for at, _ in known],
            [fmean(each) for _, each in known],
            [(high - low) / 2 for low, high in bounds],
            fmt="osD^v"[number % 5],
            markersize=4,
            capsize=3,
            label=protocol,
        )
    panel.set_xticks(range(len(losses)), [f"{loss:g}" for loss in losses])
    panel.set(title=f"{rate:g} Mbit/s, {rtt:g} ms", xlabel="loss in each direction (%)")
panels[0][0].set_ylim(bottom=0)  # once all are drawn
panels[0][0].set_ylabel("goodput (Mbit/s)")
panels[0][0].legend()
figure.savefig(sys.argv[2])
