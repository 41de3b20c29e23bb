"""Figures of the PRIME paper (Kumar et al., ICLR 2022) and its public dataset, quoted as published."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class PublishedApplication:
    """One application of PRIME Table 2 and what the paper and its dataset say of it.

    Latencies in the dataset's ms. `feasible_rows` and the pool's figures are counted in the public
    dataset; `log_rows` is Table 17 (the figure of t-RNN Dec is illegible, see `first_light`);
    `prime_ms`, `online_ms` (best of three) and `log_ms` are Table 3; `edge_tpu_ms` is Table 14;
    `table11_ms` the latencies of the two designs of Table 12: PRIME's and the evolutionary one.
    """

    workload: str
    infeasible_rows: int
    feasible_rows: int
    pool_min_mean_max_ms: tuple[float, float, float]
    log_rows: int
    prime_ms: float
    online_ms: float
    log_ms: float
    edge_tpu_ms: float
    table11_ms: tuple[float, float]

    @property
    def feasible_share(self) -> float:
        """Share of feasible designs in the public pool."""
        return self.feasible_rows / (self.feasible_rows + self.infeasible_rows)


APPLICATIONS = (
    PublishedApplication(
        "mobilenet_edgetpu",
        384_355,
        115_711,
        (252.22, 529.13, 16352.26),
        7697,
        298.50,
        319.00,
        354.13,
        523.48,
        (288.38, 319.98),
    ),
    PublishedApplication(
        "mobilenet_v2",
        744_718,
        255_414,
        (191.35, 375.05, 7398.13),
        7620,
        207.43,
        238.58,
        410.83,
        408.24,
        (216.27, 255.95),
    ),
    PublishedApplication(
        "mobilenet_v3_large",
        797_460,
        202_672,
        (405.19, 993.75, 7001.46),
        5687,
        454.30,
        501.27,
        938.41,
        831.80,
        (487.46, 573.57),
    ),
    PublishedApplication(
        "m4_like", 791_984, 208_148, (335.59, 794.33, 35881.35), 3763, 370.45, 383.58, 779.98, 675.53, (400.88, 406.28)
    ),
    PublishedApplication(
        "m5_like", 698_618, 301_514, (202.55, 440.52, 35363.55), 5735, 208.21, 198.86, 449.38, 377.32, (248.18, 239.18)
    ),
    PublishedApplication(
        "m6_like", 756_468, 243_664, (127.79, 301.74, 4236.90), 7529, 131.46, 119.56, 369.85, 234.88, (164.98, 148.83)
    ),
    PublishedApplication(
        "unet", 449_578, 51_128, (610.96, 3681.75, 124987.51), 557, 740.27, 791.64, 1333.18, 2409.73, (1268.73, 908.86)
    ),
    PublishedApplication(
        "t_rnn_dec", 405_607, 94_459, (128.05, 662.44, 4447.74), 1211, 132.88, 770.93, 890.22, 1384.44, (191.83, 862.14)
    ),
    PublishedApplication(
        "t_rnn_enc", 410_933, 88_880, (127.97, 731.20, 5112.82), 1240, 130.67, 865.07, 584.70, 1545.07, (185.41, 952.44)
    ),
)

# Table 12; the lanes of PRIME's design are illegible in the text, 4 fits the area, see the template.
TABLE_12 = {
    "PRIME": {
        "pes_x": 4,
        "pes_y": 6,
        "lanes": 64,
        "cores": 4,
        "pe_memory_bytes": 2_097_152,
        "core_memory_bytes": 131_072,
        "activation_memory_entries": 512,
        "instruction_memory_entries": 32_768,
        "parameter_memory_entries": 4096,
        "dram_bandwidth_gbps": 30,
    },
    "Evolutionary": {
        "pes_x": 4,
        "pes_y": 8,
        "lanes": 128,
        "cores": 6,
        "pe_memory_bytes": 1_048_576,
        "core_memory_bytes": 131_072,
        "activation_memory_entries": 2048,
        "instruction_memory_entries": 8192,
        "parameter_memory_entries": 4096,
        "dram_bandwidth_gbps": 30,
    },
}
TABLE_12_AREA_MM2 = {"PRIME": 46.78, "Evolutionary": 92.05}
EDGE_TPU_AREA_MM2 = 27.0
# Table 14: PRIME's design for each application within the Edge TPU's area and DRAM: ms, and mm2.
TABLE_14 = {
    "mobilenet_edgetpu": (294.34, 18.03),
    "mobilenet_v2": (208.72, 17.11),
    "mobilenet_v3_large": (459.59, 11.86),
    "m4_like": (370.45, 19.12),
    "m5_like": (208.42, 22.84),
    "m6_like": (132.98, 16.93),
    "unet": (1465.70, 25.27),
    "t_rnn_dec": (132.43, 14.82),
    "t_rnn_enc": (130.45, 19.87),
}
