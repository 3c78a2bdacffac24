"""Who is in the picture, without a network: GrabCut over the clip's own background, and colours for hair, skin and clothes.

The clip is looked at as a whole first: where the head can be (from its poses) gives a first background plate, GrabCut against it a
better one; colour models of person, background, hair, skin and clothes are fitted to frames spread over the clip and then held, so
that masks do not flicker. After that each frame stands alone, so frames can be parsed in any order and by several processes.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np

from editing.capture.clean_plate import CleanPlate, clean_plate, still_background
from editing.capture.labels import LABELS, paint_face, part
from editing.landmarks import CHIN, FACE_OVAL, FOREHEAD, INNER_LIPS, LEFT_BROW, LEFT_EYE, OUTER_LIPS, RIGHT_BROW, RIGHT_EYE

if TYPE_CHECKING:
    from jaxtyping import Bool, Float, Float32, Int, UInt8

WORK_PX = 256
"""GrabCut works at this size: its time grows faster than its pixels."""
MODEL_FRAMES = 8
"""Frames whose colours the models are fitted to."""
PLATE_FRAMES = 60
SKULL_CENTRE = (0.0, 0.16, -0.30)
"""Head frame, units of `head_pose.UNIT_CM`."""
SKULL_RADII = (0.40, 0.46)
"""Sideways and upwards: no head is smaller."""
REACH_RADII = (0.98, 1.08)
"""The same for hair and shoulders' width: hardly any is wider."""
SHOULDERS = ((0.42, -0.35), (0.5, 0.0), (0.9, 0.12), (1.9, 0.45), (2.1, 9.0))
CHEST = ((0.2, 0.2), (0.25, 0.4), (0.6, 0.7), (0.8, 9.0))
"""Half widths at heights below the chin, head units: what can be neck and shoulders, and what certainly is chest."""
PLATE_DIFFERS, PLATE_EQUALS = 30, 12
"""Largest difference of a channel to the plate: above, probably the person; below, probably the background."""
HAIR_LIKE = 2.0
"""Standard deviations from the colours of the hair on the skull."""
HAIR_CAP_RADII = (0.46, 0.56)
"""Hair on the skull lies between the face and this ellipse."""
DOME_RADII, DOME_LIFT = (0.52, 0.66), 0.17
"""An ellipse round skull and crown, and how far above the skull's centre its own lies: the background hardly ever shows there."""
COVERED_RIM_PX = 5
WHOLE = (0, 0, 0, 0)
"""GrabCut asks for a rectangle, and does not look at it when there is a mask."""
COLOUR_NATS, COVERED_NATS, SURE_NATS = 2.5, 3.0, 2.5
"""Most that colours count for; what an unknown plate counts for; evidence that the cut cannot overrule."""
HOLE_SHARE = 8e-4
"""Holes in the person smaller than this share of the picture are closed."""
JAW_HALF = tuple(FACE_OVAL[8:29])
"""The oval's lower part, from ear to ear."""
CLOTH_OPENING_PX, CLOTH_CLOSING_PX = 5, 11
"""Strands of hair over clothes are clothes, and slits between them hair: as a comb, neither can be rendered."""
COLOUR_LEVELS = 64
COLOUR_FLOOR = 10.0
"""Added to the variances of colour models (8-bit Lab)."""


@dataclass(frozen=True)
class ColourModel:
    """A mixture of Gaussians in Lab, looked up in tables of COLOUR_LEVELS³ colours: frames have many pixels."""

    weights: Float[np.ndarray, " k"]
    means: Float[np.ndarray, "k 3"]
    precisions: Float[np.ndarray, "k 3 3"]

    @staticmethod
    def fitted(colours: Float[np.ndarray, "n 3"], components: int) -> ColourModel:
        """To colours of at least one pixel."""
        import cv2

        chosen = np.random.default_rng(0).permutation(len(colours))[:2000]
        colours = colours[chosen].astype(np.float64)
        if len(colours) < 20 * components:
            colours = np.repeat(colours, -(-20 * components // len(colours)), 0)
        cv2.setRNGSeed(0)
        model = cv2.ml.EM.create()
        model.setClustersNumber(components)
        model.setTermCriteria((cv2.TERM_CRITERIA_COUNT + cv2.TERM_CRITERIA_EPS, 20, 1e-3))
        model.trainEM(colours)
        precisions = np.stack([np.linalg.inv(c + COLOUR_FLOOR * np.eye(3)) for c in model.getCovs()])
        return ColourModel(model.getWeights()[0].astype(float), np.asarray(model.getMeans()), precisions)

    def distance(self, bins: Int[np.ndarray, ...]) -> Float32[np.ndarray, ...]:
        """Of every colour to the nearest component, in its standard deviations."""
        return self._distances[bins]

    def log_likelihood(self, bins: Int[np.ndarray, ...]) -> Float32[np.ndarray, ...]:
        """Of every colour, up to a constant."""
        return self._log_likelihoods[bins]

    @cached_property
    def _squares(self) -> Float[np.ndarray, "k n_bins"]:
        level = (np.arange(COLOUR_LEVELS) + 0.5) * (256 / COLOUR_LEVELS)
        lab = np.stack(np.meshgrid(level, level, level, indexing="ij"), -1).reshape(-1, 3)
        d = lab[None] - self.means[:, None]
        return np.einsum("kni,kij,knj->kn", d, self.precisions, d, optimize=True)

    @cached_property
    def _distances(self) -> Float32[np.ndarray, " n_bins"]:
        return np.sqrt(self._squares.min(0)).astype(np.float32)

    @cached_property
    def _log_likelihoods(self) -> Float32[np.ndarray, " n_bins"]:
        heights = np.log(self.weights + 1e-9) + 0.5 * np.linalg.slogdet(self.precisions)[1]
        return np.asarray(np.logaddexp.reduce(heights[:, None] - 0.5 * self._squares, 0), dtype=np.float32)


def colour_bins(picture: UInt8[np.ndarray, "h w 3"]) -> Int[np.ndarray, "h w"]:
    """Which entry of a colour model's tables each pixel looks up."""
    import cv2

    lab = cv2.cvtColor(picture, cv2.COLOR_RGB2LAB).astype(np.int32) // (256 // COLOUR_LEVELS)
    return (lab[..., 0] * COLOUR_LEVELS + lab[..., 1]) * COLOUR_LEVELS + lab[..., 2]


@dataclass(frozen=True)
class Colours:
    """What tells the person from the background."""

    cap: ColourModel
    """hair on the skull"""
    person: ColourModel
    background: ColourModel


@dataclass(frozen=True)
class PartColours:
    """What tells the person's parts from one another."""

    skin: ColourModel
    hair: ColourModel
    cloth: ColourModel


@dataclass(frozen=True)
class ClipColours:
    """What the clip as a whole teaches."""

    plate: CleanPlate
    colours: Colours
    background_model: Float[np.ndarray, "1 65"]
    person_model: Float[np.ndarray, "1 65"]
    parts: PartColours

    def cut(self, view: View) -> Bool[np.ndarray, "work work"]:
        """The person in one frame."""
        return _cut(view, self.plate, self.colours, self.background_model, self.person_model)


@dataclass(frozen=True)
class View:
    """One frame at WORK_PX with what is known of its head."""

    picture: UInt8[np.ndarray, "work work 3"]
    landmarks: Float[np.ndarray, "478 2"]
    """pixels of `picture`"""
    centre: Float[np.ndarray, " 2"]
    """of the skull, pixels"""
    unit_px: float
    """a head unit at the skull's distance"""
    tilt_deg: float
    """clockwise turn of the head in the picture"""

    @staticmethod
    def of(
        picture: UInt8[np.ndarray, "h w 3"], landmarks: Float[np.ndarray, "478 3"], pose: Float[np.ndarray, "4 4"], focal_px: float
    ) -> View:
        """From a square frame, its landmarks in pixels and its pose."""
        import cv2

        scale = WORK_PX / picture.shape[0]
        point = pose[:3, :3] @ np.array(SKULL_CENTRE) + pose[:3, 3]
        focal = focal_px * scale
        up = pose[:3, 1]
        return View(
            cv2.resize(picture, (WORK_PX, WORK_PX), interpolation=cv2.INTER_AREA),
            landmarks[:, :2] * scale,
            focal * point[:2] / point[2] + WORK_PX / 2,
            focal / float(point[2]),
            float(np.degrees(np.arctan2(up[0], -up[1]))),
        )

    def above(self, lift: float) -> Float[np.ndarray, " 2"]:
        """The point so many head units above the skull's centre."""
        turn = np.radians(self.tilt_deg)
        return np.asarray(self.centre + lift * self.unit_px * np.array([np.sin(turn), -np.cos(turn)]))

    def ellipse(self, radii: tuple[float, float], lift: float = 0.0) -> Bool[np.ndarray, "work work"]:
        """An ellipse round the skull, turned with it, or round a point so many head units above its centre."""
        import cv2

        mask = np.zeros((WORK_PX, WORK_PX), np.uint8)
        axes = int(radii[0] * self.unit_px), int(radii[1] * self.unit_px)
        x, y = self.above(lift)
        cv2.ellipse(mask, (int(x), int(y)), axes, self.tilt_deg, 0, 360, 1, -1)
        return mask.astype(bool)

    def reach(self) -> Bool[np.ndarray, "work work"]:
        """Where the person can be: hair round the head, and everything below it."""
        reach = self.ellipse(REACH_RADII)
        top = int(np.clip(self.centre[1], 0, WORK_PX))
        half = REACH_RADII[0] * self.unit_px
        left, right = int(max(0, self.centre[0] - half)), int(max(0, self.centre[0] + half))
        reach[top:, left:right] = True
        chin = int(np.clip(self.landmarks[CHIN, 1], 0, WORK_PX))
        reach[chin:] = True
        return reach

    def shoulders(self) -> Bool[np.ndarray, "work work"]:
        """Neck and shoulders as wide as a grown person's: they may keep as still as a wall, so stillness tells nothing there."""
        return self._below_chin(SHOULDERS)

    def chest(self) -> Bool[np.ndarray, "work work"]:
        """The middle of the chest, where clothes certainly are."""
        return self._below_chin(CHEST)

    def _below_chin(self, half_widths: tuple[tuple[float, float], ...]) -> Bool[np.ndarray, "work work"]:
        import cv2

        x, y = self.landmarks[CHIN]
        side = np.array(half_widths) * self.unit_px
        outline = np.concatenate([side, side[::-1] * (-1.0, 1.0)]) + np.array([x, y])
        mask = np.zeros((WORK_PX, WORK_PX), np.uint8)
        cv2.fillPoly(mask, [np.round(outline).astype(np.int32)], 1)
        return mask.astype(bool)

    def core(self) -> Bool[np.ndarray, "work work"]:
        """Where the person certainly is."""
        return self.ellipse(SKULL_RADII) | part((WORK_PX, WORK_PX), self.landmarks, FACE_OVAL) | self.chest()


def evidence(view: View, plate: CleanPlate, colours: Colours) -> Float[np.ndarray, "work work"]:
    """For the person (above 0) or the background of every pixel, in nats: colours, the plate, and distance from the skull.

    Dark hair over a dark wall looks like the plate, so where a colour could be hair the plate counts little. Where the plate is not
    known the person is there most of the time.
    """
    import cv2

    bins = colour_bins(view.picture)
    by_colour = np.clip(colours.person.log_likelihood(bins) - colours.background.log_likelihood(bins), -COLOUR_NATS, COLOUR_NATS)
    difference = cv2.GaussianBlur(np.abs(view.picture.astype(np.int16) - plate.picture).max(-1).astype(np.float32), (0, 0), 1.0)
    by_plate = np.interp(difference, (0.5 * PLATE_EQUALS, PLATE_EQUALS, PLATE_DIFFERS, 2 * PLATE_DIFFERS), (-6.0, -3.0, 2.0, 5.0))
    hair_like = colours.cap.distance(bins) < HAIR_LIKE
    by_plate = np.where((by_plate < 0) & hair_like, by_plate / 6.0, by_plate)
    by_plate = np.where(plate.known, by_plate, np.where(view.shoulders(), 0.0, COVERED_NATS))
    y, x = np.mgrid[:WORK_PX, :WORK_PX]
    turn, centre = np.radians(view.tilt_deg), view.above(DOME_LIFT)
    across = (x - centre[0]) * np.cos(turn) + (y - centre[1]) * np.sin(turn)
    along = (y - centre[1]) * np.cos(turn) - (x - centre[0]) * np.sin(turn)
    along = np.where(along > 0, 0.0, along)  # hair and shoulders: below the skull only the distance sideways counts
    away = np.hypot(across / REACH_RADII[0], along / REACH_RADII[1]) / view.unit_px
    by_place = np.interp(away, (0.4, 0.6, 1.0), (2.0, 0.0, -4.0))
    by_place = np.where(view.shoulders(), np.maximum(by_place, 0.5), by_place)
    return np.asarray(cv2.GaussianBlur(by_colour + by_plate + by_place, (0, 0), 1.0))


def seeds(view: View, plate: CleanPlate, colours: Colours) -> UInt8[np.ndarray, "work work"]:
    """GrabCut's mask to begin with: what the evidence leaves open is for the cut to decide."""
    import cv2

    nats = evidence(view, plate, colours)
    mask = np.where(nats > 0, cv2.GC_PR_FGD, cv2.GC_PR_BGD).astype(np.uint8)
    mask[nats > SURE_NATS] = cv2.GC_FGD
    mask[(nats < -SURE_NATS) | ~view.reach()] = cv2.GC_BGD
    mask[view.core()] = cv2.GC_FGD
    return mask


def cleaned(mask: Bool[np.ndarray, "work work"], view: View) -> Bool[np.ndarray, "work work"]:
    """The piece that holds the face, without crumbs and small holes."""
    import cv2

    opened = cv2.morphologyEx(mask.astype(np.uint8), cv2.MORPH_OPEN, np.ones((3, 3), np.uint8))
    opened[view.core()] = 1
    _, pieces = cv2.connectedComponents(opened)
    x, y = np.clip(view.landmarks[list(FACE_OVAL)].mean(0), 0, WORK_PX - 1).astype(int)
    piece = pieces == pieces[y, x]
    count, holes, stats, _ = cv2.connectedComponentsWithStats((~piece).astype(np.uint8), connectivity=4)
    for hole in range(1, count):
        if stats[hole, cv2.CC_STAT_AREA] < HOLE_SHARE * WORK_PX**2:
            piece[holes == hole] = True
    return np.asarray(piece)


def learn_colours(views: list[View]) -> ClipColours:
    """From frames spread over the clip (about PLATE_FRAMES)."""
    import cv2

    pictures = np.stack([view.picture for view in views])
    never = np.stack([view.core() | view.shoulders() | view.ellipse(DOME_RADII, DOME_LIFT) for view in views])
    still = still_background(pictures, never)
    plate = clean_plate(pictures, ~still)
    model_views = [views[k] for k in np.unique(np.linspace(0, len(views) - 1, MODEL_FRAMES).astype(int))]
    colours = _first_colours(model_views, plate)
    background, person = np.zeros((1, 65)), np.zeros((1, 65))
    views, pictures = views[::2], pictures[::2]  # stillness wants many frames, what follows does not
    for _ in range(2):
        _cut_together(model_views, plate, colours, background, person)
        masks = [_cut(view, plate, colours, background, person) for view in views]
        grown = np.stack([cv2.dilate(mask.astype(np.uint8), np.ones((9, 9), np.uint8)).astype(bool) for mask in masks])
        plate = clean_plate(pictures, grown)
    return ClipColours(plate, colours, background, person, part_colours(views, masks))


def _lab(view: View) -> Float[np.ndarray, "work work 3"]:
    import cv2

    return cv2.cvtColor(view.picture, cv2.COLOR_RGB2LAB).astype(np.float64)


def _first_colours(views: list[View], plate: CleanPlate) -> Colours:
    """Background from the known plate and from beyond reach; the person from face, skull and what never shows the background."""
    import cv2

    rim = np.ones((2 * COVERED_RIM_PX + 1,) * 2, np.uint8)
    covered = cv2.erode((~plate.known).astype(np.uint8), rim, borderValue=1).astype(bool)
    cap, person, background = [], [], []
    for view in views:
        lab, oval = _lab(view), part((WORK_PX, WORK_PX), view.landmarks, FACE_OVAL)
        skull = view.ellipse(HAIR_CAP_RADII) & ~oval
        skull[int(np.clip(view.landmarks[FOREHEAD, 1] + 0.1 * view.unit_px, 0, WORK_PX)) :] = False
        cap.append(lab[skull])
        person.append(lab[view.core() | (covered & view.ellipse((REACH_RADII[0] * 0.7, REACH_RADII[1] * 0.7)))])
        equal = np.abs(view.picture.astype(np.int16) - plate.picture).max(-1) < PLATE_EQUALS
        background.append(lab[(plate.known & equal & ~view.core()) | ~view.reach()])
    return Colours(*(ColourModel.fitted(_or_grey(parts), k) for parts, k in ((cap, 3), (person, 6), (background, 6))))


def _or_grey(parts: list[Float[np.ndarray, "n 3"]]) -> Float[np.ndarray, "n 3"]:
    """All colours, or a dark grey where a part hardly ever shows."""
    together = np.concatenate(parts)
    return together if len(together) > 50 else np.array([[40.0, 128.0, 128.0]])


def _cut_together(
    views: list[View],
    plate: CleanPlate,
    colours: Colours,
    background: Float[np.ndarray, "1 65"],
    person: Float[np.ndarray, "1 65"],
) -> None:
    """Fit both colour models to several frames side by side, in place."""
    import cv2

    mosaic = np.concatenate([view.picture for view in views], 1)
    mask = np.concatenate([seeds(view, plate, colours) for view in views], 1)
    cv2.setRNGSeed(0)
    cv2.grabCut(mosaic, mask, WHOLE, background, person, 3, cv2.GC_INIT_WITH_MASK)


def _cut(
    view: View,
    plate: CleanPlate,
    colours: Colours,
    background: Float[np.ndarray, "1 65"],
    person: Float[np.ndarray, "1 65"],
) -> Bool[np.ndarray, "work work"]:
    import cv2

    mask = seeds(view, plate, colours)
    cv2.grabCut(view.picture, mask, WHOLE, background.copy(), person.copy(), 1, cv2.GC_EVAL_FREEZE_MODEL)
    return cleaned((mask == cv2.GC_FGD) | (mask == cv2.GC_PR_FGD), view)


def part_colours(views: list[View], masks: list[Bool[np.ndarray, "work work"]]) -> PartColours:
    """Skin from the face, hair from above and beside it, clothes from the lowest rows away from the neck."""
    import cv2

    size = (WORK_PX, WORK_PX)
    y, x = np.mgrid[:WORK_PX, :WORK_PX]
    skin, hair, cloth = [], [], []
    for view, mask in zip(views, masks, strict=True):
        lab = _lab(view)
        oval = part(size, view.landmarks, FACE_OVAL)
        bare = oval.copy()
        for contour in (OUTER_LIPS, LEFT_EYE, RIGHT_EYE, LEFT_BROW, RIGHT_BROW):
            bare &= ~part(size, view.landmarks, contour)
        bare = cv2.erode(bare.astype(np.uint8), np.ones((5, 5), np.uint8)).astype(bool)
        skin.append(lab[bare & (y > view.landmarks[FOREHEAD, 1] + 0.25 * view.unit_px)])
        tall = float(np.ptp(view.landmarks[list(FACE_OVAL), 1]))
        above = mask & (y < view.landmarks[FOREHEAD, 1] - 0.06 * tall)
        hair.append(lab[cv2.erode(above.astype(np.uint8), np.ones((3, 3), np.uint8)).astype(bool)])
        width = float(np.ptp(view.landmarks[list(FACE_OVAL), 0]))
        aside = np.abs(x - view.landmarks[CHIN, 0]) > 0.62 * width
        low = mask & (y > max(view.landmarks[CHIN, 1] + 0.2 * tall, WORK_PX - 0.08 * WORK_PX)) & aside
        cloth.append(lab[low])
    return PartColours(*(ColourModel.fitted(_or_grey(parts), 3) for parts in (skin, hair, cloth)))


def parse(
    picture: UInt8[np.ndarray, "size size 3"],
    landmarks: Float[np.ndarray, "478 3"],
    pose: Float[np.ndarray, "4 4"],
    focal_px: float,
    colours: ClipColours,
) -> UInt8[np.ndarray, "size size"]:
    """Labels of one square frame."""
    view = View.of(picture, landmarks, pose, focal_px)
    return label_parts(picture, landmarks, view, colours.cut(view), colours.parts)


def label_parts(
    picture: UInt8[np.ndarray, "size size 3"],
    landmarks: Float[np.ndarray, "478 d"],
    view: View,
    mask: Bool[np.ndarray, "work work"],
    colours: PartColours,
) -> UInt8[np.ndarray, "size size"]:
    """Labels of one square frame whose person is known: `view` shows it at WORK_PX, `mask` is the person in it."""
    import cv2

    small = _parts(view, mask, colours)
    size = picture.shape[0]
    # Each part's mask is smoothed while it grows, which keeps edges where one pixel of the small picture covers several.
    person = cv2.resize(mask.astype(np.float32), (size, size), interpolation=cv2.INTER_CUBIC)
    present = [name for name in ("cloth", "neck", "face", "hair") if (small == LABELS[name]).any()]
    shares = np.stack([cv2.resize(_soft(small == LABELS[name]), (size, size), interpolation=cv2.INTER_LINEAR) for name in present])
    ids = np.array([LABELS[name] for name in present], np.uint8)
    labels = np.where(person > 0.5, ids[shares.argmax(0)], LABELS["background"]).astype(np.uint8)
    paint_face(labels, picture, landmarks[:, :2])
    return labels


def _soft(mask: Bool[np.ndarray, "work work"]) -> Float[np.ndarray, "work work"]:
    import cv2

    return np.asarray(cv2.GaussianBlur(mask.astype(np.float32), (0, 0), 0.8))


def _parts(view: View, mask: Bool[np.ndarray, "work work"], colours: PartColours) -> UInt8[np.ndarray, "work work"]:
    """Cloth, neck, face (with ears) and hair inside the person's mask."""
    import cv2

    size = (WORK_PX, WORK_PX)
    y, x = np.mgrid[:WORK_PX, :WORK_PX]
    bins = colour_bins(view.picture)
    likely = np.stack([cv2.GaussianBlur(m.log_likelihood(bins), (0, 0), 1.5) for m in (colours.skin, colours.hair, colours.cloth)])
    likely = np.maximum(likely, likely.max() - 60.0)
    best = likely.argmax(0)
    oval = part(size, view.landmarks, FACE_OVAL)
    jaw = view.landmarks[list(JAW_HALF)]
    jaw = jaw[np.argsort(jaw[:, 0])]
    jaw_line = np.interp(np.arange(WORK_PX), jaw[:, 0], jaw[:, 1], left=np.inf, right=np.inf)
    width = float(np.ptp(view.landmarks[list(FACE_OVAL), 0]))
    tall = float(np.ptp(view.landmarks[list(FACE_OVAL), 1]))
    chin = view.landmarks[CHIN]
    under_jaw = y > jaw_line[None]
    below_chin = y > chin[1]
    neck_column = np.abs(x - chin[0]) < 0.5 * width
    result = np.full(size, LABELS["hair"], np.uint8)
    result[(best == 0) & ~below_chin] = LABELS["face"]  # ears, forehead, bald heads
    neck = ~oval & neck_column & (best == 0) & (under_jaw | below_chin)
    cloth = ~oval & (y > chin[1] + 0.08 * tall) & (best == 2) & (likely[2] > likely[1] + 1.0)
    bare = ~oval & below_chin & ~neck_column & (best == 0)  # shoulders
    result[_tidy(cloth | bare, CLOTH_OPENING_PX, CLOTH_CLOSING_PX)] = LABELS["cloth"]
    result[_tidy(neck) & (result != LABELS["cloth"])] = LABELS["neck"]
    # Under the chin, pixels that fit neither hair nor clothes well lie in the neck's shadow.
    shadow = ~oval & under_jaw & neck_column & (result == LABELS["hair"]) & (likely[1] < likely[0] + 3.0) & (y < chin[1] + 0.35 * tall)
    result[shadow] = LABELS["neck"]
    result[oval & (result != LABELS["hair"])] = LABELS["face"]
    lower = oval & (y > view.landmarks[list(INNER_LIPS), 1].min() - 0.35 * tall)
    result[lower] = LABELS["face"]
    result[oval & (likely[0] > likely[1] - 2.0)] = LABELS["face"]
    result[~mask] = LABELS["background"]
    return _hair_hangs_together(result)


def _tidy(mask: Bool[np.ndarray, "work work"], opening_px: int = 3, closing_px: int = 5) -> Bool[np.ndarray, "work work"]:
    """Without crumbs and slits narrower than these."""
    import cv2

    opened = cv2.morphologyEx(mask.astype(np.uint8), cv2.MORPH_OPEN, np.ones((opening_px, opening_px), np.uint8))
    return np.asarray(cv2.morphologyEx(opened, cv2.MORPH_CLOSE, np.ones((closing_px, closing_px), np.uint8)).astype(bool))


def _hair_hangs_together(labels: UInt8[np.ndarray, "work work"]) -> UInt8[np.ndarray, "work work"]:
    """Patches of head colour that do not touch the head are clothes of the same colour."""
    import cv2

    head = np.isin(labels, (LABELS["face"], LABELS["hair"]))
    count, pieces, stats, _ = cv2.connectedComponentsWithStats(head.astype(np.uint8), connectivity=4)
    if count > 2:
        largest = 1 + int(np.argmax(stats[1:, cv2.CC_STAT_AREA]))
        labels[head & (pieces != largest)] = LABELS["cloth"]
    torso = np.isin(labels, (LABELS["cloth"], LABELS["neck"]))
    count, pieces, stats, _ = cv2.connectedComponentsWithStats(torso.astype(np.uint8), connectivity=8)
    for piece in range(1, count):
        touches_bottom = stats[piece, cv2.CC_STAT_TOP] + stats[piece, cv2.CC_STAT_HEIGHT] >= WORK_PX - 1
        if not touches_bottom and stats[piece, cv2.CC_STAT_AREA] < 0.01 * WORK_PX**2:
            labels[pieces == piece] = LABELS["hair"]
    return labels
