"""The torch reference as a backend: slow, exact, runs wherever torch runs."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from renderer.errors import BackendUnavailable
from renderer.field.frame_codes import appearance_code, pose_code, spherical_harmonics, view_direction
from renderer.images import quantise, resize_picture
from renderer.refiner.window import refine_window
from renderer.types import WHOLE_PICTURE

if TYPE_CHECKING:
    from collections.abc import Sequence

    from jaxtyping import Float, UInt8

    from renderer.avatar import Avatar
    from renderer.backends.base import RenderOptions
    from renderer.field.torch_field import HeadBiases
    from renderer.refiner.torch_refiner import TorchRefiner
    from renderer.types import FrameCondition, PictureWindow

RAYS_AT_ONCE = 8192
AUTO_REFINE_SCOPE = "picture"


class TorchBackend:
    """See `renderer.backends.base.Backend`."""

    name = "torch"

    def __init__(self, avatar: Avatar, options: RenderOptions) -> None:
        try:
            import torch
        except ImportError as error:
            raise BackendUnavailable("the torch backend needs torch: `pip install torch`") from error
        from renderer.field.torch_field import TorchField

        self.isa = "torch-cpu"
        self._avatar, self._options = avatar, options
        self._threads = options.threads
        width = round(options.size * avatar.camera.width / avatar.camera.height)
        self._camera = avatar.camera.resized(width, options.size)
        self._field = TorchField(avatar.field_config)
        self._field.load_arrays(avatar.tensors)
        self._occupancy = torch.from_numpy(avatar.occupancy)
        self._refiner: TorchRefiner | None = None
        if avatar.refiner is not None:
            from renderer.refiner.torch_refiner import TorchRefiner

            self._refiner = TorchRefiner.from_refiner(avatar.refiner)
        self._refine_scope = AUTO_REFINE_SCOPE if options.refine_scope == "auto" else options.refine_scope

    def render(self, conditions: Sequence[FrameCondition]) -> UInt8[np.ndarray, "n height width 3"]:
        return np.stack([quantise(self.render_float(condition)) for condition in conditions])

    def render_float(self, condition: FrameCondition) -> Float[np.ndarray, "height width 3"]:
        import torch

        from renderer.field.rays import camera_rays, composite_reference, march_reference, pixel_grid

        torch.set_num_threads(self._threads)
        config, camera, net = self._avatar.field_config, self._camera.windowed(condition.window), self._field
        shown = condition.window or WHOLE_PICTURE
        with torch.inference_mode():
            pose = torch.from_numpy(pose_code(condition.camera_from_head, config))
            torso_code = torch.from_numpy(appearance_code(self._avatar.tensors["torso.appearance"], condition.appearance)).float()
            biases = self._head_biases(condition)
            pixels = pixel_grid(camera.width, camera.height)
            picture = torch.from_numpy(self._backdrop(condition).reshape(-1, 3))
            mask = self._torso_pixels(camera.width, camera.height, shown)
            if mask.any():
                chosen = torch.from_numpy(mask.reshape(-1))
                corner, extent = torch.tensor([shown.left, shown.top]), torch.tensor([shown.width, shown.height])
                x_t = corner + pixels[chosen] / torch.tensor([float(camera.width), float(camera.height)]) * extent
                rgb, alpha, _ = net.torso(x_t, pose, torso_code)
                picture[chosen] = picture[chosen] * (1.0 - alpha[:, None]) + rgb * alpha[:, None]
            rays_o, rays_d = camera_rays(camera, condition.camera_from_head, pixels)
            for first in range(0, len(pixels), RAYS_AT_ONCE):
                part = slice(first, first + RAYS_AT_ONCE)
                samples = march_reference(rays_o[part], rays_d[part], self._occupancy, config)
                if not len(samples.positions):
                    continue
                out = net.head(samples.positions, biases)
                colour, opacity, _ = composite_reference(out.sigmas, out.rgbs, samples, config.step_size)
                picture[part] = colour + (1.0 - opacity[:, None]) * picture[part]
            picture = picture.reshape(camera.height, camera.width, 3)
            window = refine_window(self._refine_scope, config, camera, condition.camera_from_head)
            if self._refiner is not None and window is not None:
                picture = self._refiner.refine_in(picture, condition.refine_weight, window)
        return picture.numpy()

    def depth(self, condition: FrameCondition) -> tuple[Float[np.ndarray, "height width"], Float[np.ndarray, "height width"]]:
        """Expected distance of the head along each ray, in head units from the camera (0 where no ray meets it), and its opacity."""
        import torch

        from renderer.field.rays import camera_rays, composite_reference, march_reference, pixel_grid

        torch.set_num_threads(self._threads)
        config, camera = self._avatar.field_config, self._camera.windowed(condition.window)
        rays_o, rays_d = camera_rays(camera, condition.camera_from_head, pixel_grid(camera.width, camera.height))
        distances, opacities = torch.zeros(len(rays_o)), torch.zeros(len(rays_o))
        with torch.inference_mode():
            biases = self._head_biases(condition)
            for first in range(0, len(rays_o), RAYS_AT_ONCE):
                part = slice(first, first + RAYS_AT_ONCE)
                samples = march_reference(rays_o[part], rays_d[part], self._occupancy, config)
                if not len(samples.positions):
                    continue
                out = self._field.head(samples.positions, biases)
                _, opacity, weights = composite_reference(out.sigmas, out.rgbs, samples, config.step_size)
                total = torch.zeros(len(opacity)).index_add(0, samples.ray_indices, weights * samples.distances)
                distances[part], opacities[part] = total / opacity.clamp(min=1e-6), opacity
        shape = (camera.height, camera.width)
        return distances.reshape(shape).numpy(), opacities.reshape(shape).numpy()

    def _head_biases(self, condition: FrameCondition) -> HeadBiases:
        import torch

        net = self._field
        harmonics = spherical_harmonics(view_direction(condition.camera_from_head, self._avatar.field_config.head_centre))
        head_code = torch.from_numpy(appearance_code(self._avatar.tensors["head.appearance"], condition.appearance)).float()
        return net.head_biases(
            net.audio_codes(torch.from_numpy(condition.audio_window)[None].float(), condition.smoothing),
            torch.tensor([condition.eye_ratio], dtype=torch.float32),
            torch.from_numpy(harmonics)[None],
            head_code[None],
            None if condition.emotion is None else torch.from_numpy(condition.emotion)[None].float(),
        ).frame(0)

    def _backdrop(self, condition: FrameCondition) -> Float[np.ndarray, "height width 3"]:
        picture = self._avatar.background if condition.background is None else condition.background
        return resize_picture(picture, self._camera.width, self._camera.height, condition.window)

    def _torso_pixels(self, width: int, height: int, shown: PictureWindow) -> np.ndarray:
        mask = self._avatar.torso_mask
        rows = (mask.shape[0] * shown.top + (np.arange(height) + 0.5) * mask.shape[0] * shown.height / height).astype(int)
        columns = (mask.shape[1] * shown.left + (np.arange(width) + 0.5) * mask.shape[1] * shown.width / width).astype(int)
        return mask[rows.clip(0, mask.shape[0] - 1)][:, columns.clip(0, mask.shape[1] - 1)]

    def stage_ms(self) -> dict[str, float]:
        return {}

    def close(self) -> None:
        return None
