"""Errors at the project's boundary. Each message is one line that names the value and says what would have been right."""


class VisavisError(Exception):
    """Base of every error that a user can cause and mend. Commands print it as one line and exit with 2."""


class BadInput(VisavisError):
    """A path, option or size that cannot be used."""


class BadAudio(VisavisError):
    """Audio that cannot be read: not a sound file, truncated, empty, or with an impossible rate."""


class BadAvatar(VisavisError):
    """A file that is not a usable avatar: truncated, foreign, newer, wrong-shaped or pickled."""


class EncoderMismatch(VisavisError):
    """An avatar that was trained with another audio encoder than the one offered."""


class BackendUnavailable(VisavisError):
    """A field backend asked for by name that cannot run here."""
