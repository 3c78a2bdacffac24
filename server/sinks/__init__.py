"""The ways out of a performance: WebRTC, a file, a stream server, a program."""
