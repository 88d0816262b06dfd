"""What talks to the server: raw commands and writes, refusals as errors, work in threads."""
