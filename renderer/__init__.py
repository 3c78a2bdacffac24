"""The pure core: audio features, the talking radiance field, the avatar file. No asyncio, threads, sockets or wall clock."""

__version__ = "0.1.0"
