"""LivePortrait's network rebuilt for speed: the same seams, the same numbers up to rounding.

What is done to it, each step exact: batch norms folded (in float64); channels last from end to end; all maps that
normalisations make of the warped volume at its own resolution in one convolution; those at twice and four times the
resolution by phases, before the volume's maps are enlarged; scale and shift of a normalisation in one convolution, the
shift of the one beside it folded through the 1x1 convolution that follows; the nearest doubling of the hourglass inside
its kernels. On a CPU in float32 wide convolutions go by tiles (`tiles.py`), and each frame stays with one thread.

Pose, coordinates and shares stay in float32 whatever the precision.
"""

from __future__ import annotations

from collections.abc import Callable
from math import gcd
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from fomm_cli.engine import layers
from fomm_cli.engine.layers import Conv
from fomm_cli.engine.tiles import Tiled
from fomm_cli.engine.winograd import each
from fomm_cli.model.live_portrait import volume
from fomm_cli.model.live_portrait.dense import Decoder
from fomm_cli.model.live_portrait.generator import Spade, SpadeBlock
from fomm_cli.model.live_portrait.network import LivePortraitModel
from fomm_cli.model.live_portrait.pose import HeadPose
from fomm_cli.model.types import DenseMotion

Maps = Callable[[Tensor], Tensor]


class PortraitSource(NamedTuple):
    """features (1, C, D, h, w), whole, and compressed (1, c, D, h, w); float32."""

    features: Tensor
    compressed: Tensor


class FusedPortrait:
    """Made once from a plain model in eval mode.

    precision  of the hourglass and the generator
    tiled      whether wide convolutions go by tiles; None: on a CPU in float32
    """

    def __init__(
        self, model: LivePortraitModel, precision: torch.dtype = torch.float32, tiled: bool | None = None
    ) -> None:
        self.model = model
        self.precision = precision
        weight = model.generator.fc.weight
        self.like = weight.new_empty(0, dtype=precision)
        on_cpu = weight.device.type == "cpu"
        self.tiled = on_cpu and precision == torch.float32 if tiled is None else tiled
        self.deals = on_cpu
        self.side = model.size[0] >> len(model.appearance.down_blocks)
        with torch.no_grad():
            self._dense(model)
            self._generator(model)

    def _dense(self, model: LivePortraitModel) -> None:
        dense = model.dense_motion
        encoder, decoder = dense.hourglass.encoder.down_blocks, dense.hourglass.decoder
        assert isinstance(decoder, Decoder)
        self.down = [self._volume(*_folded(block), relu=True) for block in encoder]
        count = len(self.down)
        self.up: list[Maps] = []
        for i, block in enumerate(decoder.up_blocks):
            self.up.append(VolumeDoubling(*_folded(block), self.like, phases=self.side >> (count - i) >= 8))
        self.last = self._volume(*layers.folded(decoder.conv, decoder.norm), relu=True)
        self.mask = self._volume(*layers.plain(dense.mask))
        self.occlusion = Conv(*layers.plain(dense.occlusion), self.like)

    def _volume(self, weight: Tensor, bias: Tensor, relu: bool = False) -> Maps:
        wide = weight.shape[1] * self.side >= 64 * 100  # such are the hourglass's outermost blocks
        if self.tiled and wide and weight.shape[1] < 256:
            return Tiled(weight, bias, 4 if weight.shape[-1] > 3 else 6, relu)
        return VolumeConv(weight, bias, self.like, relu)

    def _generator(self, model: LivePortraitModel) -> None:
        generator = model.generator
        weight, bias = layers.folded(generator.third.conv, generator.third.norm)
        self.third = self._conv(weight, bias, self.side)
        self.fourth = Conv(*layers.plain(generator.fourth), self.like)
        middle = [block for block in generator.middle_blocks if isinstance(block, SpadeBlock)]
        shared = [_shared(norm) for block in middle for norm in (block.norm_0, block.norm_1)]
        self.hidden = shared[0].out_channels
        self.begin = self._conv(*layers.merged(*shared, generator.fc), self.side)  # all look at the same maps
        self.middle = [self._block(block, self.side) for block in middle]
        self.up_blocks = []
        for i, block in enumerate(generator.up_blocks, 1):
            assert isinstance(block, SpadeBlock)
            norms = [block.norm_0, block.norm_1, *([block.norm_s] if block.conv_s is not None else [])]
            phases = Enlarged(*layers.merged(*(_shared(norm) for norm in norms)), self.like, 2**i)
            self.up_blocks.append((phases, self._block(block, self.side << i)))
        final = generator.conv_img[0]
        assert isinstance(final, nn.Conv2d)
        self.final = Conv(*layers.plain(final), self.like)

    def _conv(self, weight: Tensor, bias: Tensor, side: int) -> Maps:
        """A 3x3 convolution over maps of this side, whichever way is quicker."""
        if self.tiled and min(weight.shape[:2]) >= 128 and side * side >= 1024:
            return Tiled(weight, bias, 6 if side > 64 else 4)  # larger tiles have larger kernels: 7 or 4 times
        return Conv(weight, bias, self.like)

    def _block(self, block: SpadeBlock, side: int) -> FusedSpadeBlock:
        return FusedSpadeBlock(block, self.like, lambda weight, bias: self._conv(weight, bias, side))

    # --------------------------------------------------------------------------------------------------- the seams

    @torch.inference_mode()
    def detect(self, image: Tensor) -> HeadPose:
        """The heads' pose in images (B, 3, H, W) in [0, 1], float32."""
        return self.model.detect(image.float().contiguous(memory_format=torch.channels_last))

    @torch.inference_mode()
    def encode(self, source: Tensor) -> PortraitSource:
        """Everything that depends on the source (1, 3, H, W) alone; float32, since it is done once."""
        encoded = self.model.encode(source.float())
        return PortraitSource(encoded.features, encoded.small)

    @torch.inference_mode()
    def render(self, source: PortraitSource, pose_source: HeadPose, pose_driving: HeadPose) -> Tensor:
        """The source in the poses of `pose_driving`, of batch B: (B, 3, H', W') in [0, 1], float32."""
        driving = pose_driving.value
        if not self.deals:
            return self.paint(source, self.motion(source, pose_source.value, driving))
        result: list[Tensor] = [driving] * len(driving)

        def run(rows: list[int]) -> None:
            for row in rows:
                motion = self.motion(source, pose_source.value, driving[row : row + 1])
                result[row] = self.paint(source, motion)

        shares = gcd(len(driving), torch.get_num_threads())
        each(run, [list(range(share, len(driving), shares)) for share in range(shares)])
        return torch.cat(result)

    @torch.inference_mode()
    def motion(self, source: PortraitSource, keypoints_source: Tensor, keypoints_driving: Tensor) -> DenseMotion:
        """Flow of the volume and occlusion."""
        dense = self.model.dense_motion
        shifts, candidates = dense.candidates(source.compressed, keypoints_source, keypoints_driving)
        x = candidates.flatten(1, 2).to(self.precision).contiguous(memory_format=torch.channels_last_3d)
        skips = []
        for down in self.down:
            skips.append(x)
            x = _halved(down(x))
        for up in self.up:
            x = torch.cat((up(x), skips.pop()), dim=1)
        x = self.last(x)
        flat = x.flatten(1, 2).contiguous(memory_format=torch.channels_last)
        return dense.motion(shifts, candidates, self.mask(x), self.occlusion(flat))

    @torch.inference_mode()
    def paint(self, source: PortraitSource, motion: DenseMotion) -> Tensor:
        """The picture (B, 3, H', W') from the source's volume under the motion."""
        moved = volume.warped(source.features, motion.flow).flatten(1, 2)
        moved = moved.to(self.precision).contiguous(memory_format=torch.channels_last)
        assert motion.occlusion is not None
        maps = self.fourth(F.leaky_relu_(self.third(moved), 0.01)) * motion.occlusion.to(self.precision)
        begun = self.begin(maps)
        shared = F.relu_(begun[:, : 2 * len(self.middle) * self.hidden]).split(self.hidden, dim=1)
        x = begun[:, 2 * len(self.middle) * self.hidden :]
        for block, one, two in zip(self.middle, shared[::2], shared[1::2], strict=True):
            x = block(x, [one, two])
        for enlarged, block in self.up_blocks:
            x = block(F.interpolate(x, scale_factor=2, mode="nearest"), enlarged(maps).split(self.hidden, dim=1))
        picture = F.pixel_shuffle(self.final(F.leaky_relu_(x, 0.2)), 2)
        return picture.float().sigmoid_().contiguous()


class FusedSpadeBlock:
    """The block with what its normalisations look at given: x (B, C, H, W), maps behind ReLU for norm 0, 1 and s."""

    def __init__(self, block: SpadeBlock, like: Tensor, conv: Callable[[Tensor, Tensor], Maps]) -> None:
        self.conv_0, self.conv_1 = conv(*layers.plain(block.conv_0)), conv(*layers.plain(block.conv_1))
        self.norm_0 = conv(*_scale_and_shift(block.norm_0))
        self.norm_1 = conv(*_scale_and_shift(block.norm_1))
        self.side: Conv | None = None
        if block.conv_s is not None:
            weight, bias = _scale_and_shift(block.norm_s)
            mixing = layers.plain(block.conv_s)[0]  # (out, C, 1, 1): it mixes the shift before it as well as after
            self.side = Conv(mixing, mixing.new_zeros(len(mixing)), like)
            width = mixing.shape[1]
            mixed = torch.einsum("oc,cihw->oihw", mixing[:, :, 0, 0], weight[width:])
            weight, bias = (
                torch.cat((weight[:width], mixed)),
                torch.cat((bias[:width], mixing[..., 0, 0] @ bias[width:])),
            )
            self.norm_s = conv(weight, bias)

    def __call__(self, x: Tensor, shared: list[Tensor] | tuple[Tensor, ...]) -> Tensor:
        width = x.shape[1]
        normed = _normalised(x)
        side = x
        if self.side is not None:
            scale = self.norm_s(shared[2])
            side = self.side(scale[:, :width] * normed) + scale[:, width:]
        inner = self.conv_0(_modulated(normed, self.norm_0(shared[0])))
        inner = self.conv_1(_modulated(_normalised(inner), self.norm_1(shared[1])))
        return inner.add_(side)


class Enlarged:
    """Nearest enlargement by 2 or 4, a 3x3 convolution, ReLU: before the enlargement, by phases.

    Of the pixels that stand for one, only the outer ones see another: of 4 rows two are alike, and the taps of a kernel
    that meet one pixel are summed beforehand. 25 products a pixel of the small map at 4 times, not 144.
    """

    def __init__(self, weight: Tensor, bias: Tensor, like: Tensor, factor: int) -> None:
        self.factor = factor
        self.out = weight.shape[0]
        first, last = [[1.0, 0, 0], [0, 1, 1]], [[1.0, 1, 0], [0, 0, 1]]  # (small pixel, tap)
        inner = [[1.0, 1, 1]]
        kinds = [(first, (1, 0)), (last, (0, 1))] if factor == 2 else [(first, (1, 0)), (inner, (0, 0)), (last, (0, 1))]
        self.phases = []
        for row, down in kinds:
            for column, across in kinds:
                taps = (torch.tensor(each, dtype=weight.dtype, device=weight.device) for each in (row, column))
                kernel = torch.einsum("pi,ocij,qj->ocpq", next(taps), weight, next(taps))
                self.phases.append((Conv(kernel, bias, like, relu=True, padding=(0, 0)), (*across, *down)))

    def __call__(self, x: Tensor) -> Tensor:
        batch, _, height, width = x.shape
        f = self.factor
        result = x.new_empty((batch, height, f, width, f, self.out))
        places = [slice(0, 1), slice(1, f - 1), slice(f - 1, f)] if f > 2 else [slice(0, 1), slice(1, 2)]
        for i, (conv, pad) in enumerate(self.phases):
            rows, columns = places[i // len(places)], places[i % len(places)]
            phase = conv(F.pad(x, pad).contiguous(memory_format=torch.channels_last)).permute(0, 2, 3, 1)
            result[:, :, rows, :, columns] = phase[:, :, None, :, None]
        return result.view(batch, f * height, f * width, self.out).permute(0, 3, 1, 2)


class VolumeConv:
    """A convolution of volumes, channels last, then optionally ReLU."""

    def __init__(self, weight: Tensor, bias: Tensor, like: Tensor, relu: bool = False) -> None:
        self.weight = weight.to(like).contiguous(memory_format=torch.channels_last_3d)
        self.bias, self.relu = bias.to(like), relu

    def __call__(self, x: Tensor) -> Tensor:
        y = F.conv3d(x, self.weight, self.bias, padding=self.weight.shape[-1] // 2)
        return F.relu_(y) if self.relu else y


class VolumeDoubling:
    """Nearest doubling within the slices, a 3x3x3 convolution, ReLU.

    phases   as in `layers.doubling`, which maps gain from that are not small
    """

    def __init__(self, weight: Tensor, bias: Tensor, like: Tensor, phases: bool) -> None:
        self.bias = bias.to(like)
        self.phases = phases
        if phases:
            slices = [layers.doubling(weight[:, :, 2 - z]) for z in range(3)]  # transposed: the kernel is turned round
            weight = torch.stack(slices, dim=2)
        self.weight = weight.to(like).contiguous(memory_format=torch.channels_last_3d)

    def __call__(self, x: Tensor) -> Tensor:
        if self.phases:
            return F.relu_(F.conv_transpose3d(x, self.weight, self.bias, stride=(1, 2, 2), padding=1))
        x = F.interpolate(x, scale_factor=(1, 2, 2), mode="nearest")
        return F.relu_(F.conv3d(x, self.weight, self.bias, padding=1))


def _halved(x: Tensor) -> Tensor:
    """The mean of 2x2 within each slice; as maps, since no precision but float32 pools volumes on a CPU."""
    maps = x.transpose(1, 2).flatten(0, 1)  # (B D, C, H, W), channels last
    return F.avg_pool2d(maps, 2).unflatten(0, (len(x), -1)).transpose(1, 2)


def _folded(block: nn.Module) -> tuple[Tensor, Tensor]:
    assert isinstance(block, volume.SameBlock)
    return layers.folded(block.conv, block.norm)


def _shared(norm: nn.Module) -> nn.Conv2d:
    assert isinstance(norm, Spade)
    conv = norm.mlp_shared[0]
    assert isinstance(conv, nn.Conv2d)
    return conv


def _scale_and_shift(norm: Spade) -> tuple[Tensor, Tensor]:
    """Kernel and bias of 1 + gamma and beta, side by side."""
    weight, bias = layers.merged(norm.mlp_gamma, norm.mlp_beta)
    bias[: norm.mlp_gamma.out_channels] += 1
    return weight, bias


def _normalised(x: Tensor) -> Tensor:
    """Instance norm, its statistics in float32."""
    x = x - x.float().mean(dim=(2, 3), keepdim=True).to(x.dtype)
    # Centred twice over: sums of squares run along the channels in memory, which `var_mean` does not.
    variance = x.float().square().mean(dim=(2, 3), keepdim=True)
    return x.mul_((variance + 1e-5).rsqrt().to(x.dtype))


def _modulated(normed: Tensor, scale_and_shift: Tensor) -> Tensor:
    scale, shift = scale_and_shift.chunk(2, dim=1)
    return F.leaky_relu_(torch.addcmul(shift, normed, scale), 0.2)
