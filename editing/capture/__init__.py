"""From a video of one person to a dataset: frames, sound, head poses, masks, clean plate, and a report on their quality."""
