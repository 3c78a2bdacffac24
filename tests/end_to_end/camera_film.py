"""A film for Chromium's fake camera (Y4M, 320 x 240 at 25 frames a second) whose frames tell their number in the picture.

The number stands as black and white cells in the left margin, where `NUMBER_OF` reads it in the page. Chromium repeats the film.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import av
import numpy as np

from renderer.types import FPS

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

    from jaxtyping import UInt8

WIDTH_PX, HEIGHT_PX = 320, 240
MARGIN_PX = (WIDTH_PX - HEIGHT_PX) // 2
N_BITS, CELL_PX = 10, 20
WALL = 90
"""Grey level around the picture."""

WATCH_CAMERA = f"""() => {{
  const getUserMedia = navigator.mediaDevices.getUserMedia.bind(navigator.mediaDevices);
  window.__camera = [];
  navigator.mediaDevices.getUserMedia = async (constraints) => {{
    const stream = await getUserMedia(constraints);
    const [track] = stream.getVideoTracks();
    if (track) watch(track.clone());
    return stream;
  }};
  const canvas = new OffscreenCanvas(1, {N_BITS}), context = canvas.getContext("2d", {{ willReadFrequently: true }});
  async function watch(track) {{
    const reader = new MediaStreamTrackProcessor({{ track }}).readable.getReader();
    for (;;) {{
      const {{ value: frame, done }} = await reader.read();
      if (done) return;
      const taken = performance.now();
      context.drawImage(frame, 5, 0, 10, {N_BITS * CELL_PX}, 0, 0, 1, {N_BITS});
      frame.close();
      const {{ data }} = context.getImageData(0, 0, 1, {N_BITS});
      let number = 0;
      for (let bit = 0; bit < {N_BITS}; bit++) number |= (data[4 * bit] > 127) << bit;
      __camera.push([taken, number]);
    }}
  }}
}}"""
"""To be run in the page before its camera is asked for: [time in ms, number of the frame] of every frame the camera gives."""


def write_film(path: Path, pictures: Iterable[UInt8[np.ndarray, "h w 3"] | None]) -> None:
    """Square pictures, each 1/25 s; None: nobody is there."""
    with av.open(str(path), "w", format="yuv4mpegpipe") as film:
        stream = film.add_stream("rawvideo", rate=FPS)
        stream.width, stream.height, stream.pix_fmt = WIDTH_PX, HEIGHT_PX, "yuv420p"
        for number, picture in enumerate(pictures):
            rgb = np.full((HEIGHT_PX, WIDTH_PX, 3), WALL, np.uint8)
            if picture is not None:
                square = av.VideoFrame.from_ndarray(picture, format="rgb24").reformat(HEIGHT_PX, HEIGHT_PX).to_ndarray()
                rgb[:, MARGIN_PX : MARGIN_PX + HEIGHT_PX] = square
            for bit in range(N_BITS):
                rgb[CELL_PX * bit : CELL_PX * (bit + 1), :MARGIN_PX] = 255 * (number >> bit & 1)
            film.mux(stream.encode(av.VideoFrame.from_ndarray(rgb, format="rgb24").reformat(format="yuv420p")))
        film.mux(stream.encode())
