"""The start of a training: fresh networks from the seed, or from the weights of `--init`."""

from __future__ import annotations

from collections.abc import Callable

import torch

from fomm_cli.config import reading as configs
from fomm_cli.config.schema import Config
from fomm_cli.errors import FommError
from fomm_cli.model.config import AvdTrain
from fomm_cli.model.families import family_of
from fomm_cli.processes import World
from fomm_cli.train import perceptual
from fomm_cli.train.run import Options
from fomm_cli.train.state import State


def start(
    config: Config,
    options: Options,
    device: torch.device,
    world: World,
    measuring: bool = False,
    say: Callable[[str], None] | None = None,
) -> State:
    """Fresh networks from the seed, or from `--init` weights, and the perceptual network.

    measuring   where only time and memory count: no perceptual network is downloaded, random numbers do
    say         is told what a person should know about the start
    """
    torch.manual_seed(options.seed)
    network = None
    if any(config.train.loss.perceptual):
        kind = config.train.perceptual_network
        smallest = min(config.train.scales) * min(config.data.frame_shape)
        if smallest < perceptual.SMALLEST[kind]:
            raise FommError(
                f"The smallest pyramid scale makes images of {smallest:g} px; the {kind} perceptual network needs "
                f"{perceptual.SMALLEST[kind]}.",
                "Drop the smallest scales, e.g. --set train.scales=[1,0.5].",
            )
        given = options.perceptual_weights
        random = measuring and given is None
        network = perceptual.freeze(perceptual.build(kind)) if random else perceptual.obtain(kind, given)
    state = State(config, device, network, world)
    if options.init:
        _initialise(state, options.init, say)
    return state


def second_stage(init: str | None, overrides: list[str] | None = None) -> Config:
    """The config of `fomm train avd`: that of finished weights, to be trained by their own section `train.avd`.

    init        the weights, as `init_from` takes them
    overrides   `key.path=value`, such as train.batch_size=64
    Raises FommError: no weights, or of a family without mode avd.
    """
    if init is None:
        raise FommError("`fomm train avd` goes on from finished weights.", "Name them with --init.")
    from fomm_cli.weights.load import init_from

    config = init_from(init).config
    family = family_of(config.model)
    if family.AvdTrain is None:
        raise FommError(f"{init} is of {family.title}, which has no second stage.", "Families with mode avd have one.")
    if not isinstance(config.train, AvdTrain):  # else they have gone through it before
        section: AvdTrain = config.train.avd  # type: ignore[attr-defined]
        config = config.model_copy(update={"name": f"{config.name}-avd", "train": section})
    return configs.build(configs.override(config.model_dump(mode="json"), overrides or []), init)


def _initialise(state: State, name: str, say: Callable[[str], None] | None) -> None:
    """Fill the networks from weights; further keypoints of the config stay as they are."""
    from fomm_cli.weights.load import init_from

    config = state.config
    initial = init_from(name)
    tensors, missing = initial.model, config.model.points - initial.config.model.points
    if missing > 0 and config.model.extends(initial.config.model):
        tensors = grown(tensors, state.model.state_dict())
        if say is not None:
            say(f"{name} has {initial.config.model.points} keypoints; {missing} more begin at random.")
    fresh = state.model.state_dict()
    added = {key: fresh[key] for key in fresh if key not in tensors and key.partition(".")[0] in state.recipe.adds}
    load_weights(state.model, tensors | added, name)
    if state.discriminator is not None and initial.discriminator is not None:
        load_weights(state.discriminator, initial.discriminator, name)
    if state.average is not None:
        state.average.load_state_dict(state.model.state_dict())


def grown(given: dict[str, torch.Tensor], fresh: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """The weights of a network with fewer keypoints for one with more.

    The channels of a keypoint come after those of the one before it, everywhere: those of the new ones stay `fresh`.
    """
    whole = {}
    for key, value in given.items():
        whole[key] = fresh[key].clone()
        whole[key][tuple(slice(length) for length in value.shape)] = value
    return whole


def load_weights(network: torch.nn.Module, given: dict[str, torch.Tensor], name: str) -> None:
    """Fill a network; FommError where keys or shapes differ, with the first of them."""
    wanted = network.state_dict()
    differing = [key for key in wanted if key not in given or given[key].shape != wanted[key].shape]
    differing += [key for key in given if key not in wanted]
    if differing:
        raise FommError(
            f"{name} has another architecture than this preset: {', '.join(differing[:5])}"
            f"{f' and {len(differing) - 5} more' if len(differing) > 5 else ''} differ.",
            "`fomm weights info` shows its config; change the preset's model keys with --set to agree.",
        )
    network.load_state_dict(given)
