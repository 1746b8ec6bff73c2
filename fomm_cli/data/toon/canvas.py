"""A stack of pictures to paint on: local frames, signed distances, and anti-aliased paint."""

from typing import NamedTuple

import torch


class Frame(NamedTuple):
    """A local coordinate system of each picture: the point (u, v) lies at c + u a + v b. Each field is (B,).

    Picture coordinates are -1..1 from edge to edge, x right, y down.
    """

    cx: torch.Tensor
    cy: torch.Tensor
    ax: torch.Tensor
    ay: torch.Tensor
    bx: torch.Tensor
    by: torch.Tensor

    def point(self, u: torch.Tensor | float, v: torch.Tensor | float) -> tuple[torch.Tensor, torch.Tensor]:
        return self.cx + u * self.ax + v * self.bx, self.cy + u * self.ay + v * self.by

    def child(
        self,
        u: torch.Tensor | float,
        v: torch.Tensor | float,
        su: torch.Tensor | float = 1.0,
        sv: torch.Tensor | float = 1.0,
        angle: torch.Tensor | float = 0.0,
    ) -> "Frame":
        """A frame at (u, v) of this one, its content turned by `angle` and then stretched by su and sv."""
        t = torch.as_tensor(angle, dtype=self.cx.dtype, device=self.cx.device)
        cos, sin = t.cos(), t.sin()
        cx, cy = self.point(u, v)
        ax, ay = self.ax * su, self.ay * su
        bx, by = self.bx * sv, self.by * sv
        return Frame(cx, cy, cos * ax + sin * bx, cos * ay + sin * by, -sin * ax + cos * bx, -sin * ay + cos * by)

    def unit(self) -> torch.Tensor:
        """(B,) the length of one local unit in picture coordinates, averaged over directions."""
        return (self.ax * self.by - self.ay * self.bx).abs().sqrt()

    def extent(self, ru: torch.Tensor | float, rv: torch.Tensor | float) -> tuple[torch.Tensor, torch.Tensor]:
        """Half width and height (B,) in picture coordinates of the box |u| <= ru, |v| <= rv."""
        return self.ax.abs() * ru + self.bx.abs() * rv, self.ay.abs() * ru + self.by.abs() * rv


class Patch:
    """The part of a canvas where something is painted: the same rectangle in every picture."""

    def __init__(self, image: torch.Tensor, mask: torch.Tensor, x: torch.Tensor, y: torch.Tensor, size: int) -> None:
        self.image = image  # (B, 3, h, w), a view of the canvas
        self.mask = mask  # (B, h, w), likewise
        self.x = x  # (1, 1, w)
        self.y = y  # (1, h, 1)
        self.size = size

    def local(self, frame: Frame) -> tuple[torch.Tensor, torch.Tensor]:
        """u and v, each (B, h, w), of the pixel centres."""
        det = frame.ax * frame.by - frame.ay * frame.bx
        det = torch.where(det.abs() < 1e-6, torch.full_like(det, 1e-6), det)
        a, b = frame.by / det, -frame.bx / det
        c, d = -frame.ay / det, frame.ax / det
        u = (wide(a) * self.x + wide(-a * frame.cx - b * frame.cy)) + wide(b) * self.y
        v = (wide(c) * self.x + wide(-c * frame.cx - d * frame.cy)) + wide(d) * self.y
        return u, v

    def cover(self, distance: torch.Tensor, frame: Frame) -> torch.Tensor:
        """How much of each pixel lies inside, from the signed distance in local units (negative inside)."""
        return (0.5 - distance * wide(frame.unit() * (self.size / 2))).clamp_(0, 1)

    def paint(self, alpha: torch.Tensor, color: torch.Tensor) -> None:
        """alpha (B, h, w); color (B, 3) or (B, 3, h, w)."""
        if color.dim() == 2:
            color = color[:, :, None, None]
        self.image.lerp_(color.expand_as(self.image), alpha[:, None].expand_as(self.image))

    def shade(self, factor: torch.Tensor) -> None:
        """Multiplies by a factor (B, h, w)."""
        self.image.mul_(factor[:, None])


class Canvas:
    """`batch` pictures of `size` x `size`."""

    def __init__(self, batch: int, size: int, device: torch.device | str) -> None:
        self.size = size
        self.image = torch.zeros(batch, 3, size, size, device=device)
        self.mask = torch.zeros(batch, size, size, device=device)  # where the head is: the face stays within it
        self.axis = (torch.arange(size, device=device, dtype=torch.float32) + 0.5) * (2 / size) - 1
        # Knowing the rectangle costs a synchronisation on an accelerator, where painting everything is cheaper.
        self.bounded = self.image.device.type == "cpu"

    def patch(self, frame: Frame | None = None, ru: torch.Tensor | float = 0, rv: torch.Tensor | float = 0) -> Patch:
        """The rectangle that holds |u| <= ru, |v| <= rv of every picture's frame, or all if none is given."""
        left, top, right, bottom = 0, 0, self.size, self.size
        if frame is not None and self.bounded:
            w, h = frame.extent(ru, rv)
            edges = torch.stack([frame.cx - w, frame.cy - h, -frame.cx - w, -frame.cy - h]).amin(1)
            x0, y0, x1, y1 = edges.add(1).mul(self.size / 2).tolist()
            left, top = max(int(x0) - 1, 0), max(int(y0) - 1, 0)
            right, bottom = min(int(self.size - x1) + 2, self.size), min(int(self.size - y1) + 2, self.size)
            # Something wholly outside still gets a pixel at the border, where its alpha is zero.
            left, top = min(left, self.size - 1), min(top, self.size - 1)
            right, bottom = max(right, left + 1), max(bottom, top + 1)
        return Patch(
            self.image[:, :, top:bottom, left:right],
            self.mask[:, top:bottom, left:right],
            self.axis[None, None, left:right],
            self.axis[None, top:bottom, None],
            self.size,
        )


def wide(x: torch.Tensor) -> torch.Tensor:
    """(B,) -> (B, 1, 1): a number a picture beside (B, h, w)."""
    return x[:, None, None]


def ellipse(u: torch.Tensor, v: torch.Tensor, ru: torch.Tensor, rv: torch.Tensor) -> torch.Tensor:
    """Signed distance to an ellipse, exact to first order at its edge. ru, rv: (B,)."""
    a, b = u / wide(ru), v / wide(rv)
    k0 = (a * a + b * b).sqrt_()
    a, b = a / wide(ru), b / wide(rv)
    k1 = (a * a + b * b).sqrt_().clamp_(min=1e-4)
    return (k0 - 1) * k0 / k1


def circle(u: torch.Tensor, v: torch.Tensor, r: torch.Tensor) -> torch.Tensor:
    return (u * u + v * v).sqrt_() - wide(r)


def smooth_min(a: torch.Tensor, b: torch.Tensor, k: float) -> torch.Tensor:
    """The union of two distances with a fillet of about k."""
    h = (k - (a - b).abs()).clamp_(min=0)
    return torch.minimum(a, b) - h * h * (0.25 / k)


def rounded_box(
    u: torch.Tensor, v: torch.Tensor, ru: torch.Tensor, rv: torch.Tensor, radius: torch.Tensor
) -> torch.Tensor:
    """Signed distance to a box |u| <= ru, |v| <= rv with rounded corners; all radii (B,)."""
    a = u.abs() - wide(ru - radius)
    b = v.abs() - wide(rv - radius)
    outside = (a.clamp(min=0) ** 2 + b.clamp(min=0) ** 2).sqrt_()
    return outside + torch.maximum(a, b).clamp_(max=0) - wide(radius)


def step(x: torch.Tensor, low: float, high: float) -> torch.Tensor:
    """0 below low, 1 above high, smooth between."""
    t = ((x - low) / (high - low)).clamp(0, 1)
    return t * t * (3 - 2 * t)


def in_pixels(field: torch.Tensor) -> torch.Tensor:
    """A field (B, h, w) that is negative inside -> distance in pixels, by its own slope on the grid."""
    du = torch.diff(field, dim=2, append=2 * field[..., -1:] - field[..., -2:-1]) if field.shape[2] > 1 else field * 0
    dv = torch.diff(field, dim=1, append=2 * field[:, -1:] - field[:, -2:-1]) if field.shape[1] > 1 else field * 0
    return field / (du * du + dv * dv).sqrt_().clamp_(min=1e-5)
