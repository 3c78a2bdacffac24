"""The quality report: one HTML page that holds its pictures and opens without a server."""

from __future__ import annotations

import base64
from collections import Counter
from html import escape
from typing import TYPE_CHECKING

import numpy as np

from editing.capture.labels import LABELS
from editing.capture.quality import head_angles
from editing.landmarks import FACE_OVAL, INNER_LIPS, LEFT_EYE, OUTER_LIPS, RIGHT_EYE
from renderer.types import FPS

if TYPE_CHECKING:
    from collections.abc import Sequence

    from jaxtyping import Bool, Float, UInt8

    from editing.capture.clean_plate import CleanPlate
    from editing.capture.head_pose import HeadPoses
    from editing.capture.quality import Verdict
    from editing.capture.sound_offset import SoundOffset
    from editing.capture.tracking import FaceTrack

SHOWN = 6
PICTURE_PX = 256
TINTS = {
    "background": (0, 0, 0), "cloth": (220, 60, 50), "neck": (240, 160, 40), "face": (70, 190, 90), "hair": (150, 90, 230),
    "eye": (250, 230, 60), "lips": (240, 60, 170), "teeth": (255, 255, 255), "mouth": (120, 20, 40), "brow": (60, 200, 220),
}  # fmt: skip
_STYLE = """
:root{color-scheme:light dark;--ink:#1d1f24;--paper:#fff;--quiet:#667;--line:#d9dce3;--good:#17803d;--bad:#b3261e}
@media(prefers-color-scheme:dark){:root{--ink:#e8eaf0;--paper:#16181d;--quiet:#9aa;--line:#333945;--good:#57d28a;--bad:#ff8a80}}
body{font:16px/1.5 system-ui,sans-serif;color:var(--ink);background:var(--paper);max-width:66rem;margin:0 auto;padding:1.5rem}
h1{font-size:1.5rem;margin:0}h2{font-size:1.1rem;margin:2rem 0 .5rem}p{margin:.3rem 0}.quiet{color:var(--quiet)}
table{border-collapse:collapse;width:100%}td{padding:.45rem .6rem .45rem 0;border-top:1px solid var(--line);vertical-align:top}
td:first-child{width:1.4rem;font-weight:700}.good{color:var(--good)}.bad{color:var(--bad)}
.row{display:flex;flex-wrap:wrap;gap:.5rem}
figure{margin:0;flex:1 1 9rem;max-width:16rem}img{width:100%;border-radius:6px;display:block}
figcaption{font-size:.8rem;color:var(--quiet)}svg{width:100%;height:auto}
.banner{border:2px solid var(--bad);border-radius:8px;padding:.6rem .9rem;margin:1rem 0}
"""


def _jpeg(picture: UInt8[np.ndarray, "h w 3"]) -> str:
    import cv2

    shrink = PICTURE_PX / picture.shape[0]
    if shrink < 1:
        picture = cv2.resize(picture, None, fx=shrink, fy=shrink, interpolation=cv2.INTER_AREA)
    _, data = cv2.imencode(".jpg", np.ascontiguousarray(picture[..., ::-1]), [cv2.IMWRITE_JPEG_QUALITY, 85])
    return "data:image/jpeg;base64," + base64.b64encode(data.tobytes()).decode()


def _figure(picture: UInt8[np.ndarray, "h w 3"], caption: str) -> str:
    return f'<figure><img alt="{escape(caption)}" src="{_jpeg(picture)}"><figcaption>{escape(caption)}</figcaption></figure>'


def _row(figures: Sequence[str]) -> str:
    return f'<div class="row">{"".join(figures)}</div>'


def tinted(picture: UInt8[np.ndarray, "h w 3"], labels: UInt8[np.ndarray, "h w"]) -> UInt8[np.ndarray, "h w 3"]:
    """A frame with its parts in colours."""
    table = np.zeros((max(LABELS.values()) + 1, 3), np.uint8)
    for name, colour in TINTS.items():
        table[LABELS[name]] = colour
    return np.asarray((picture * 0.55 + table[labels] * 0.45).astype(np.uint8))


def drawn(picture: UInt8[np.ndarray, "h w 3"], landmarks: Float[np.ndarray, "478 3"]) -> UInt8[np.ndarray, "h w 3"]:
    """A frame with its landmarks' contours."""
    import cv2

    result = picture.copy()
    for contour in (FACE_OVAL, OUTER_LIPS, INNER_LIPS, LEFT_EYE, RIGHT_EYE):
        points = np.round(landmarks[list(contour), :2]).astype(np.int32)
        cv2.polylines(result, [points], True, (70, 230, 120), 1, cv2.LINE_AA)
    return result


def _chart(curves: Sequence[tuple[str, str, np.ndarray]], ends: tuple[str, str], unit: str, height: int = 150) -> str:
    """Curves as SVG: name, colour, values, NaN leaves a gap; `ends` name the two ends of the horizontal axis."""
    values = np.concatenate([c for _, _, c in curves])
    low, high = float(np.nanmin(values)), float(np.nanmax(values))
    high = max(high, low + 1e-6)
    width, left = 900, 52
    parts = [f'<svg viewBox="0 0 {width} {height + 22}" role="img" aria-label="{escape(", ".join(n for n, _, _ in curves))} as curves">']
    for share in (0.0, 0.5, 1.0):
        y = height - share * (height - 10)
        parts.append(f'<line x1="{left}" x2="{width}" y1="{y:.1f}" y2="{y:.1f}" stroke="currentColor" stroke-opacity=".15"/>')
        at = f'x="{left - 5}" y="{y + 4:.1f}" font-size="11" text-anchor="end" fill="currentColor"'
        parts.append(f"<text {at}>{low + share * (high - low):.2g}</text>")
    for name, colour, curve in curves:
        step = max(1, len(curve) // 900)
        thinned = curve[::step]
        xs = left + np.arange(len(thinned)) * step / max(1, len(curve) - 1) * (width - left)
        ys = height - (thinned - low) / (high - low) * (height - 10)
        pieces, pen = [], "M"
        for a, b in zip(xs, ys, strict=True):
            if np.isfinite(b):
                pieces.append(f"{pen}{a:.1f} {b:.1f}")
                pen = "L"
            else:
                pen = "M"
        parts.append(f'<path d="{"".join(pieces)}" fill="none" stroke="{colour}" stroke-width="1.4"><title>{escape(name)}</title></path>')
    parts.append(f'<text x="{left}" y="{height + 17}" font-size="11" fill="currentColor">{ends[0]}</text>')
    parts.append(f'<text x="{width}" y="{height + 17}" font-size="11" text-anchor="end" fill="currentColor">{ends[1]}</text></svg>')
    swatches = " ".join(f'<span style="color:{colour}">●</span> {escape(name)}' for name, colour, _ in curves)
    return "".join(parts) + f'<p class="quiet">{swatches}, {escape(unit)}</p>'


def write_report(
    path: object,
    title: str,
    verdicts: Sequence[Verdict],
    reasons: Sequence[str],
    frames: UInt8[np.ndarray, "n s s 3"],
    labels: UInt8[np.ndarray, "n s s"],
    track: FaceTrack,
    poses: HeadPoses,
    opening: Float[np.ndarray, " n"],
    expected: Float[np.ndarray, " n"],
    offset: SoundOffset,
    plate: CleanPlate,
    usable: Bool[np.ndarray, " n"],
) -> None:
    """Write the page to `path`; `expected` is how open the mouth should be by the sound, a value a frame."""
    from pathlib import Path

    n = len(frames)
    kept = np.flatnonzero(usable)
    shown = kept[np.unique(np.linspace(0, len(kept) - 1, SHOWN).astype(int))]
    rows = "".join(
        f'<tr><td class="{"good" if v.good else "bad"}">{"✓" if v.good else "!"}</td><td>{escape(v.name)}</td>'
        f"<td>{escape(v.value)}</td><td>{escape(v.advice)}</td></tr>"
        for v in verdicts
    )
    banner = "" if offset.belongs_together else (
        '<div class="banner"><b class="bad">Sound and lips do not match.</b> An avatar trained from this clip would not learn to speak. '
        "Its looks can be learned; for the lips give <code>train --speech</code> another dataset of the same person.</div>"
    )  # fmt: skip
    counts = Counter(reason for reason in reasons if reason)
    lost = " · ".join(f"{count} {reason}" for reason, count in counts.most_common()) or "none"
    bad = [k for k, reason in enumerate(reasons) if reason]
    bad_shown = [bad[i] for i in np.unique(np.linspace(0, len(bad) - 1, min(SHOWN, len(bad))).astype(int))] if bad else []
    angles = head_angles(poses.camera_from_head)
    angles[~track.found] = np.nan
    time = "0 s", f"{n / FPS:.0f} s"
    lips = np.where(usable, opening, np.nan)
    scale = max(1e-6, float(np.nanpercentile(lips, 99)))
    heard = expected / max(1e-6, float(np.percentile(expected, 99)))
    correlation = np.array([c for _, c in offset.curve])
    seen = np.repeat(plate.known[..., None].astype(np.uint8) * 255, 3, -1)
    pose_curves = [("yaw", "#4c8bf5", angles[:, 0]), ("pitch", "#e8833a", angles[:, 1]), ("roll", "#3aa675", angles[:, 2])]
    mouth_curves = [("lips' opening", "#d6408c", lips / scale), ("expected from the sound", "#7a86a8", heard)]
    shifts = f"{offset.curve[0][0]:+.1f} s", f"{offset.curve[-1][0]:+.1f} s"
    sections = [
        f"<h1>{escape(title)}</h1>",
        f'<p class="quiet">{len(kept)} of {n} frames can be used; dropped: {escape(lost)}</p>',
        banner,
        f"<table>{rows}</table>",
        "<h2>Frames, landmarks, parts</h2>",
        _row([_figure(drawn(frames[k], track.landmarks[k]), f"{k / FPS:.1f} s") for k in shown]),
        _row([_figure(tinted(frames[k], labels[k]), f"{k / FPS:.1f} s") for k in shown]),
        "<h2>Clean background</h2>",
        _row([_figure(plate.picture, "plate"), _figure(seen, f"seen (white): {100 * plate.known.mean():.0f} %; the rest is painted in")]),
        "<h2>Head</h2>",
        _chart(pose_curves, time, "degrees"),
        "<h2>Mouth: seen and heard</h2>",
        _chart(mouth_curves, time, "share of the widest"),
        f"<p>{escape(next(v.value for v in verdicts if v.name == 'sound and lips'))}</p>",
        _chart([("correlation at shifts of the sound", "#7a86a8", correlation)], shifts, "-1…1", 90),
    ]
    if bad_shown:
        sections += ["<h2>Dropped frames</h2>", _row([_figure(frames[k], f"{k / FPS:.1f} s: {reasons[k]}") for k in bad_shown])]
    page = (
        f'<!doctype html><html lang="en"><meta charset="utf-8"><meta name="viewport" content="width=device-width,initial-scale=1">'
        f"<title>{escape(title)}</title><style>{_STYLE}</style><body>{''.join(sections)}</body></html>"
    )
    target = Path(str(path))
    unfinished = target.with_suffix(".partial")
    unfinished.write_text(page, encoding="utf-8")
    unfinished.replace(target)
