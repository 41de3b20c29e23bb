"""What Figure 5.7 compares Starlight with, as functions from training rows to a model that predicts.

    fine-tuned Low     `StarlightLow.tuned`
    network head       `NetworkHead.transferred`: the encoder of Low, and a predictor trained from scratch
    Low alone          the `StarlightLow` itself
    GP from scratch    `Starlight.from_scratch`; the figure lacks it

Source: the dissertation, Section 5.4.
"""

from __future__ import annotations

import copy

import torch
from torch import Tensor, nn

from armillary.cores import one_thread
from armillary.surrogates.rows import Scale
from armillary.surrogates.starlight.encoding import UnitCube, Values, checked_rows
from armillary.surrogates.starlight.low import (
    FINE_TUNING,
    PREDICTOR,
    Encoder,
    Progress,
    Schedule,
    StarlightLow,
    dense,
    descend,
    in_parts,
    seeded,
)


class NetworkHead:
    """An encoder and a network that predicts from its mean; `transferred` makes it.

    Args:
        encoder: trained, of 32-bit floats.
        predictor: trained, from the latent space to a standardised value.
        cube: how inputs are scaled.
        scale: how the logarithms of the metric are standardised.
        losses: the mean squared error of the standardised values in each epoch, shape [epochs].
    """

    def __init__(self, encoder: Encoder, predictor: nn.Module, cube: UnitCube, scale: Scale, losses: Values) -> None:
        self.encoder, self.predictor, self.cube, self.scale, self.losses = encoder, predictor, cube, scale, losses

    @classmethod
    def transferred(
        cls,
        low: StarlightLow,
        inputs: Values,
        log_values: Values,
        *,
        seed: int = 0,
        schedule: Schedule = FINE_TUNING,
        on_progress: Progress | None = None,
    ) -> NetworkHead:
        """Return the encoder of a Starlight-Low under a predictor of its shape, trained together.

        As for Starlight there is no decoder, and the encoder's mean stands for a row.

        Args:
            low: whose encoder is taken over; it stays as it is.
            inputs: as they are, shape [rows, 40]; see `encoding.inputs_of`.
            log_values: natural logarithms of the metric, shape [rows].
            seed: of the predictor's weights and the order of the rows.
            schedule: of the training.
            on_progress: called after each epoch.

        Raises:
            ArmillaryError: if the rows are no training rows, or the loss is no longer finite.
        """
        checked_rows(inputs, log_values)
        scale = Scale.of(log_values, "linear")
        encoder, predictor = copy.deepcopy(low.network.encoder), seeded(lambda: dense(PREDICTOR), seed)
        model = cls(encoder, predictor, low.cube, scale, log_values[:0])
        x, y = low.cube(inputs).float(), torch.from_numpy(scale.standardise(log_values)).float()

        def losses_of(rows: Tensor) -> Tensor:
            return ((model._standard(x[rows]) - y[rows]) ** 2).mean()[None]

        both = nn.ModuleList([encoder, predictor])
        generator = torch.Generator().manual_seed(seed)
        with one_thread():
            model.losses = descend(both, losses_of, torch.ones(1), len(y), schedule, generator, on_progress)[:, 0]
        return model

    def predict(self, inputs: Values) -> Values:
        """Return the expected logarithm of the metric, inputs [rows, 40] as they are, shape [rows].

        Raises:
            ArmillaryError: if inputs are of another shape or not finite.
        """
        return self.scale.restore(in_parts(self._standard, self.cube(inputs)))

    def _standard(self, x: Tensor) -> Tensor:
        predicted: Tensor = self.predictor(self.encoder(x)[0])[:, 0]
        return predicted
