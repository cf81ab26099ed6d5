"""Threads, queues, profiling, and what only some operating systems have."""
