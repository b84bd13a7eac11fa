"""Averages digitizer records: the noise falls with the square root of their number."""

import numpy as np


def main(averages: int = 64):
    digitizer = device("digitizer")
    total = None
    with open_run("waveform_average", averages=averages):
        for n in range(1, averages + 1):
            waveform = digitizer.read()
            total = waveform if total is None else total + waveform
            if n & (n - 1) == 0:  # 1, 2, 4, 8, ...
                mean = total / n
                tail = mean[-mean.size // 8 :]
                record(average=mean, count=n, noise=float(np.std(tail)))
    return float(np.std((total / averages)[-total.size // 8 :]))
