"""Everything that changes while training: networks, optimisers, position; and one update of it."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import AbstractContextManager, nullcontext
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from fomm_cli.config.schema import Config
from fomm_cli.model.families import family_of
from fomm_cli.model.geometry import SmoothTransform
from fomm_cli.model.network import AnimationModel
from fomm_cli.model.training import Progress, recipe_of
from fomm_cli.processes import World, average
from fomm_cli.train.distributed import parallel, synchronise_norms
from fomm_cli.train.schedule import rate
from fomm_cli.train.step import GeneratorPass


class Part(NamedTuple):
    """A part of a batch: images (B, 3, H, W) in [0, 1], the step's random warps and numbers, and the moment."""

    source: Tensor
    driving: Tensor
    transform: SmoothTransform
    progress: Progress = Progress()
    uniform: Tensor | None = None


class State:
    """A training at one moment.

    step     updates made so far
    epoch    epochs finished so far
    batch    batches of the present epoch that are done
    batches  of an epoch: who trains sets it
    """

    def __init__(
        self,
        config: Config,
        device: torch.device,
        perceptual: nn.Module | None,
        world: World | None = None,
        dtype: torch.dtype = torch.float32,
    ) -> None:
        train = config.train
        self.config, self.device, self.dtype, self.world = config, device, dtype, world or World()
        self.step = self.epoch = self.batch = 0
        self.batches = 1
        self.best: float | None = None

        # Convolutions are faster channels last, on processors and on GPUs.
        layout: dict[str, Any] = {"device": device, "dtype": dtype, "memory_format": torch.channels_last}
        family = family_of(config.model)
        self.recipe = recipe = recipe_of(family, train)
        self.model = self._network().to(**layout)
        self.discriminator = recipe.discriminator(config.model).to(**layout) if recipe.judged(train) else None
        self.average: AnimationModel | None = None
        if train.ema:
            self.average = self._network().to(**layout).requires_grad_(False)
            self.average.load_state_dict(self.model.state_dict())

        # Before the optimisers take hold of the parameters.
        self.model = synchronise_norms(self.model, self.world, device)
        self.halves = [recipe.groups(self.model, train)]
        judging: nn.Module | None = None
        if self.discriminator is not None:
            judging, group = recipe.judge(self.discriminator, train)
            self.halves.append({"discriminator": group})
        self.groups = {name: group for half in self.halves for name, group in half.items()}
        moving = {id(parameter) for group in self.groups.values() if not group.frozen for parameter in group.parameters}
        for network in (self.model, self.discriminator):
            for parameter in network.parameters() if network is not None else ():
                parameter.requires_grad_(id(parameter) in moving)
        self.optimizers = {
            name: torch.optim.Adam(
                group.parameters, group.rate, betas=(0.5, 0.999), weight_decay=group.weight_decay, fused=True
            )
            for name, group in self.groups.items()
        }

        generator_pass = GeneratorPass(config, self.model, perceptual, self.discriminator).to(**layout)
        self.terms = list(generator_pass.terms)

        # Batch-norm statistics lie in one tensor, spectral-norm vectors in another, so that undoing a bad step's change
        # to them is one copy each, without asking the device whether the step was bad. (Not all in one: a change to one
        # view counts as a change to all, and batch norm's backward pass refuses statistics that were changed.)
        self.statistics = [_gather_buffers(module) for module in (self.model, self.discriminator) if module is not None]
        self._statistics_before = [flat.clone() for flat in self.statistics]

        if train.compile:
            generator_pass.compile()
        idle = any(group.from_epoch > 0 for group in self.groups.values())
        self.generator_pass = parallel(generator_pass, self.world, device, idle)
        self.discriminator_pass = None if judging is None else parallel(judging, self.world, device)
        self._train_mode()

    def _network(self) -> AnimationModel:
        """Untrained, with the optional parts that are trained."""
        network = family_of(self.config.model).network(self.config.model, self.config.data.frame_shape)
        for part in self.recipe.adds:
            network.add(part)
        return network

    @property
    def exported(self) -> AnimationModel:
        """The network to look at, validate and ship: the running average if there is one."""
        return self.average if self.average is not None else self.model

    def _train_mode(self) -> None:
        self.model.train()
        if self.discriminator is not None:
            self.discriminator.train()
        if self.average is not None:
            self.average.eval()

    def names(self) -> list[str]:
        """What `update` returns, in order."""
        found = ["loss", *self.terms]
        found += [] if self.discriminator is None else ["discriminator_gan"]
        return [*found, *(f"grad_norm_{name}" for name in self.groups), "keypoint_spread", "skipped"]

    def update(self, parts: Sequence[Part]) -> Tensor:
        """One step: generator and detector, then discriminator. Gradients are summed over the parts of the batch.

        A half of the step whose losses or gradients are not finite changes nothing, and a bad first half takes the
        second with it. That is decided on the device: the host never waits here, so that a GPU always has work queued.

        returns  a vector, one value a name of `names`; losses are means over parts and processes
        """
        for name, value in self.rates().items():
            self.optimizers[name].param_groups[0]["lr"] = value
        torch._foreach_copy_(self._statistics_before, self.statistics)
        outcomes = []
        for number, part in enumerate(parts):
            with self._sync(self.generator_pass, number == len(parts) - 1):
                outcome = self.generator_pass(*part)
                (outcome.total / len(parts)).backward()
            outcomes.append(outcome)
        values: dict[str, Tensor] = {
            name: _mean([outcome.terms[name] for outcome in outcomes]) for name in outcomes[0].terms
        }
        values["loss"] = _mean([outcome.total.detach() for outcome in outcomes])
        values["keypoint_spread"] = _mean([outcome.spread for outcome in outcomes])
        for name in self.halves[0]:
            values[f"grad_norm_{name}"] = self._clip(name)
        if self.world.size > 1:
            names = [name for name in self.names() if name in values and not name.startswith("grad_norm")]
            shared = average(torch.stack([values[name] for name in names]), self.world)
            values.update(zip(names, shared.unbind(), strict=True))
        bad = _not_finite([values["loss"], *(values[f"grad_norm_{name}"] for name in self.halves[0])])
        for name in self.halves[0]:
            self._apply(name, bad)
        halves = [bad]

        if self.discriminator_pass is not None:
            judged = []
            for number, (part, outcome) in enumerate(zip(parts, outcomes, strict=True)):
                with self._sync(self.discriminator_pass, number == len(parts) - 1):
                    loss = self.discriminator_pass(outcome.prediction, part.driving, outcome.pose_driving)
                    (loss / len(parts)).backward()
                judged.append(loss.detach())
            values["discriminator_gan"] = average(_mean(judged), self.world)
            values["grad_norm_discriminator"] = self._clip("discriminator")
            bad = bad + _not_finite([values["discriminator_gan"], values["grad_norm_discriminator"]])
            bad = bad.clamp(max=1)
            self._apply("discriminator", bad)
            halves.append(bad)

        for now, before, undone in zip(self.statistics, self._statistics_before, halves, strict=True):
            now.copy_(torch.where(undone > 0, before, now))
        self._update_average()
        values["skipped"] = bad
        self.step += 1
        return torch.stack([values[name].to(self.dtype) for name in self.names()])

    def next_epoch(self) -> None:
        """The end of an epoch."""
        self.epoch, self.batch = self.epoch + 1, 0

    def rates(self) -> dict[str, float]:
        """The learning rate of the next update, of each optimiser."""
        here = self.step, self.epoch, self.batch / self.batches
        return {name: rate(group.rate, self.config.train, *here) for name, group in self.groups.items()}

    def _clip(self, name: str) -> Tensor:
        """The gradient's norm over a group; the gradient is scaled down where it exceeds the limit."""
        group = self.groups[name]
        gradients = [parameter.grad for parameter in group.parameters if parameter.grad is not None]
        if not gradients:
            return torch.zeros((), device=self.device)
        order, limit = group.clip
        norm = torch.linalg.vector_norm(torch.stack(torch._foreach_norm(gradients, order)), order)
        if limit:
            torch._foreach_mul_(gradients, (limit / (norm + 1e-6)).clamp(max=1.0))
        return norm

    def _apply(self, name: str, bad: Tensor) -> None:
        optimizer = self.optimizers[name]
        if self.epoch < self.groups[name].from_epoch:
            optimizer.zero_grad(set_to_none=True)
            return
        optimizer.found_inf = bad.to(torch.float32)  # type: ignore[attr-defined]  # fused Adam does nothing where it is 1
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)

    def _sync(self, module: nn.Module, last: bool) -> AbstractContextManager[Any]:
        """Processes exchange gradients once a step, with the last part."""
        return module.no_sync() if hasattr(module, "no_sync") and not last else nullcontext()  # type: ignore[operator]

    @torch.no_grad()
    def _update_average(self) -> None:
        if self.average is None:
            return
        decay = min(self.config.train.ema, (1 + self.step) / (10 + self.step))  # the start is forgotten quickly
        mine, theirs = _floats(self.average), _floats(self.model)
        torch._foreach_lerp_(mine, theirs, 1 - decay)

    # ------------------------------------------------------------------------------------------------- as plain data

    def state_dict(self) -> dict[str, Any]:
        """Tensors and plain values: all that `load_state_dict` needs to go on exactly here."""
        return {
            "step": self.step,
            "epoch": self.epoch,
            "batch": self.batch,
            "best": self.best,
            "model": self.model.state_dict(),
            "discriminator": None if self.discriminator is None else self.discriminator.state_dict(),
            "average": None if self.average is None else self.average.state_dict(),
            "optimizers": {name: optimizer.state_dict() for name, optimizer in self.optimizers.items()},
        }

    def load_state_dict(self, saved: dict[str, Any]) -> None:
        self.step, self.epoch, self.batch, self.best = (saved[key] for key in ("step", "epoch", "batch", "best"))
        self.model.load_state_dict(saved["model"])
        if self.discriminator is not None:
            self.discriminator.load_state_dict(saved["discriminator"])
        if self.average is not None:
            self.average.load_state_dict(saved["average"])
        for name, optimizer in self.optimizers.items():
            optimizer.load_state_dict(saved["optimizers"][name])
        self._train_mode()


def _gather_buffers(root: nn.Module) -> Tensor:
    """Make all stored floating-point buffers views of one tensor, which is returned; empty if there are none."""
    found = [
        (module, name, buffer)
        for module in root.modules()
        for name, buffer in module.named_buffers(recurse=False)
        if buffer.is_floating_point() and name not in module._non_persistent_buffers_set
    ]
    if not found:
        return torch.empty(0, device=next(root.parameters()).device)
    flat = torch.cat([buffer.detach().reshape(-1) for _, _, buffer in found])
    offset = 0
    for module, name, buffer in found:
        module._buffers[name] = flat[offset : offset + buffer.numel()].view_as(buffer)
        offset += buffer.numel()
    return flat


def _floats(module: nn.Module) -> list[Tensor]:
    return [tensor for tensor in module.state_dict().values() if tensor.is_floating_point()]


def _mean(values: list[Tensor]) -> Tensor:
    return values[0] if len(values) == 1 else torch.stack(values).mean()


def _not_finite(values: list[Tensor]) -> Tensor:
    """1 where any is infinite or not a number, else 0: a scalar on the device."""
    return (~torch.isfinite(torch.stack(values))).any().to(torch.float32)
