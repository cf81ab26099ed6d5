"""Threads, queues and profiling."""
